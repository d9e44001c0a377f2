// jsPsych plugins: a task, and a step that is not one.

import { answerButtons, chosen } from "./answers.js";
import { button, heading, make, show } from "./elements.js";
import { altOf, laidOut } from "./layouts.js";
import { decoded, painted } from "./pictures.js";
import { say } from "./words.js";

const { ParameterType } = globalThis.jsPsychModule ?? { ParameterType: {} };
let listening = new AbortController(); // for answers to the task on the page

/** No answer is taken any more: the page shows something else. */
export const deafen = () => listening.abort();

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A step that shows itself: `show(display)` resolves when it is over. */
export class StepPlugin {
  static info = {
    name: "prunescope-step",
    version: "1.0.0",
    parameters: { show: { type: ParameterType.FUNCTION } },
    data: {},
  };

  trial(display, { show: step }, loaded) {
    loaded();
    return step(display);
  }
}

/** A task: pictures, and one answer to them. */
export class TaskPlugin {
  static info = {
    name: "prunescope-task",
    version: "1.0.0",
    parameters: {
      kind: { type: ParameterType.STRING },
      prompt: { type: ParameterType.STRING },
      /** What screen readers say before the prompt: which task this is. */
      count: { type: ParameterType.STRING },
      answers: { type: ParameterType.COMPLEX, array: true },
      confidence: { type: ParameterType.INT },
      /** For so long after the pictures were painted, no answer is taken. */
      lock_ms: { type: ParameterType.INT },
      /** Feedback stays for so long at least. */
      feedback_ms: { type: ParameterType.INT },
      /** Resolves to the pictures: from place to addresses. */
      pictures: { type: ParameterType.FUNCTION },
      /** Keeps the answer; resolves to null, or in practice to whether it was right. */
      respond: { type: ParameterType.FUNCTION },
    },
    data: {
      answer: { type: ParameterType.STRING },
      confidence: { type: ParameterType.INT },
      rt_ms: { type: ParameterType.FLOAT },
    },
  };

  async trial(display, task, loaded) {
    const title = () => heading(task.prompt, task.count);
    const slow = setTimeout(() => show(display, title(), make("p", { class: "wait", role: "status" }, say("loading"))), 150);
    const images = await this.images(task);
    clearTimeout(slow);
    const { choices, groups } = answerButtons(task.answers, task.confidence);
    const places = laidOut(task.kind, images, groups);
    const feedback = make("div", { class: "feedback", role: "status" });
    const lock = (locked) => {
      places.classList.toggle("locked", locked);
      for (const { button: one } of choices) one.setAttribute("aria-disabled", locked);
    };
    lock(true);
    show(display, title(), places, feedback);
    const shown = await painted();
    loaded();
    await wait(task.lock_ms);
    lock(false);
    listening = new AbortController();
    const { choice, at } = await chosen(choices, listening.signal);
    deafen();
    lock(true);
    choice.button.classList.add("chosen");
    const response = { answer: choice.answer, confidence: choice.confidence, rt_ms: Math.max(0, at - shown) };
    const right = await task.respond(response);
    if (right !== null) await this.told(feedback, choice.button, right, task.feedback_ms);
    return response;
  }

  async images({ kind, pictures }) {
    const places = Object.entries(await pictures());
    const images = places.map(async ([place, addresses]) => {
      const own = addresses.map((address, index) => decoded(address, altOf(kind, place, index + 1, addresses.length)));
      return [place, await Promise.all(own)];
    });
    return Object.fromEntries(await Promise.all(images));
  }

  async told(feedback, pressed, right, least) {
    pressed.classList.add(right ? "right" : "wrong");
    feedback.classList.add(right ? "right" : "wrong");
    feedback.append(make("p", {}, right ? say("right") : say("wrong")));
    await wait(least);
    await new Promise((resolve) => {
      const next = button(say("next"), resolve);
      feedback.append(next);
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    });
  }
}
