// The files beside the page that the unit explorer reads: each is a script that hands over what it holds.
const unitFiles = (() => {
  const index = JSON.parse(document.getElementById("explorer-index").textContent);
  const scales = { mis: 1000, hit_rate: 1000, iou: 10000 }; // as explorer.py multiplied
  const content = new Map(); // by file
  const reading = new Map();
  const unpacked = new Map();

  function read(file) {
    if (!reading.has(file)) {
      reading.set(file, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = file;
        script.onload = () => resolve(content.get(file));
        script.onerror = () => {
          reading.delete(file);
          reject(new Error(`${file} could not be read: keep the page together with its folder.`));
        };
        document.head.append(script);
      }));
    }
    return reading.get(file);
  }

  async function unpack(packed) {
    if (!window.DecompressionStream) throw new Error("This browser is too old to show the images of units.");
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json();
  }

  // All units by their place in the grid: [layer, number in the layer].
  const grid = index.layers.flatMap(([, , width], layer) => Array.from({ length: width }, (_, number) => [layer, number]));
  const starts = new Map();
  grid.forEach(([layer, number], place) => number === 0 && starts.set(index.layers[layer][0], place));

  // What networks hold, once it was read: of each, what a unit is in it.
  function viewOf(columns) {
    const value = (unit, name) => (columns[name] && columns[name][unit] >= 0 ? columns[name][unit] / scales[name] : NaN);
    return {
      has: (unit) => columns.alive[unit] >= 0,
      dead: (unit) => columns.alive[unit] === 0,
      alive: (unit) => columns.alive[unit] === 1,
      detector: (unit) => columns.detector?.[unit] === 1,
      concept: (unit) => columns.concept?.[unit] ?? -1,
      value,
      // Whole numbers subtract exactly.
      change: (unit, name, dense) => Math.round((value(unit, name) - dense.value(unit, name)) * scales[name]) / scales[name],
    };
  }

  return {
    index,
    grid,
    layer: (unit) => index.layers[grid[unit][0]][0],
    kind: (unit) => index.layers[grid[unit][0]][1],
    number: (unit) => grid[unit][1],
    name: (unit) => `${unitFiles.layer(unit)}:${grid[unit][1]}`,
    find(layer, number) {
      const known = index.layers.find(([name]) => name === layer);
      return known && number < known[2] ? starts.get(layer) + number : null;
    },
    networks: async (places) => (await Promise.all(places.map((place) => read(`units/${place}.js`)))).map(viewOf),
    async examplesOf(unit) {
      const [layer, number] = grid[unit];
      if (!index.pictured.includes(index.layers[layer][0])) throw new Error("No images were kept for this layer.");
      const block = Math.floor(number / index.block);
      const [images, packed] = await Promise.all([read("examples/images.js"), read(`examples/${layer}-${block}.js`)]);
      if (!unpacked.has(packed)) unpacked.set(packed, await unpack(packed));
      return { images, measures: unpacked.get(packed), at: number % index.block };
    },
    // What the files call.
    network: (place, columns) => content.set(`units/${place}.js`, columns),
    images: (known) => content.set("examples/images.js", known),
    examples: (name, packed) => content.set(`examples/${name}.js`, packed),
  };
})();
