// What Prolific or Mechanical Turk say in the address. It is read once and taken out of the address bar; until the
// study is joined it waits in the storage of this tab, for a reload, and is then forgotten.

const KEPT = "prunescope.platform";
const NONE = { name: "direct", participant: null, study: null, session: null, submit_to: null };
const NAMES = [
  "PROLIFIC_PID", "STUDY_ID", "SESSION_ID", "workerId", "assignmentId", "hitId", "turkSubmitTo",
];

/** Returns `{platform, preview}`: where someone comes from, as the server wants it, and whether they only look. */
export function arrival() {
  const given = new URLSearchParams(location.search);
  const platform = platformOf(given);
  if (NAMES.some((name) => given.has(name))) {
    for (const name of NAMES) given.delete(name);
    const rest = given.size ? `?${given}` : "";
    history.replaceState(null, "", location.pathname + rest + location.hash);
  }
  if (platform) keep(platform);
  return { platform: platform ?? kept() ?? NONE, preview: platform?.session === "ASSIGNMENT_ID_NOT_AVAILABLE" };
}

function platformOf(given) {
  const value = (name) => given.get(name) || null;
  if (given.has("PROLIFIC_PID")) {
    const [participant, study, session] = ["PROLIFIC_PID", "STUDY_ID", "SESSION_ID"].map(value);
    return { name: "prolific", participant, study, session, submit_to: null };
  }
  if (given.has("assignmentId")) {
    const [participant, study, session, submit_to] = ["workerId", "hitId", "assignmentId", "turkSubmitTo"].map(value);
    return { name: "mturk", participant, study, session, submit_to };
  }
  return null;
}

function keep(platform) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(platform));
  } catch {
    // no storage: a reload before joining has to come from the platform's link again
  }
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

/** The study is joined: the server has the ids, the page needs them no more. */
export function forget() {
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // none was kept
  }
}

/**
 * A mark of who came, to tell whether a session that is kept here is theirs: 32 bits of FNV-1a with a salt, from which
 * no id can be had back.
 */
export function mark(platform, salt) {
  if (platform.name === "direct") return "direct";
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode([salt, platform.participant, platform.session].join("\n"))) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return (hash >>> 0).toString(16);
}
