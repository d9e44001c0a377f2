// The study as a jsPsych timeline: which step comes when. Where one is says the session, so after a reload the steps
// that are over are passed by.

import { stopwatch } from "./clock.js";
import { enterFullscreen, fullscreenThere, offerFullscreen, progress } from "./frame.js";
import { Pictures } from "./pictures.js";
import * as steps from "./steps.js";
import { StepPlugin, TaskPlugin } from "./task.js";
import { say } from "./words.js";

/** The timeline of a study: `welcome` is what the server says of it. */
export function timelineOf(welcome, session) {
  const at = (...stages) => stages.includes(session.state.stage);
  const step = (show, when) => ({ timeline: [{ type: StepPlugin, show }], conditional_function: when });
  const asked = (when) => welcome.questions.filter((question) => question.when === when);
  const ask = (stage) => step((place) => questionsOf(place, asked(stage), stage, session), () => at(stage));
  let pictures = null;

  const fetched = () => {
    const { practice, trials, next } = session.state;
    const ahead = (at("practice") ? practice : trials).filter(({ position }) => position >= next);
    pictures = new Pictures(session.server, ahead, (error) =>
      error.over ? session.hears.over(error) : session.hears.conflict());
  };
  const task = (stage) => ({
    type: TaskPlugin,
    kind: welcome.kind,
    prompt: welcome.prompt,
    count: () => counted(stage, session),
    answers: welcome.answers,
    confidence: welcome.confidence,
    lock_ms: welcome.timing.lock_ms,
    feedback_ms: welcome.timing.feedback_ms,
    pictures: () => {
      pictures.release(session.answered - 1);
      return pictures.of(session.answered);
    },
    respond: async (response) => {
      const position = session.answered;
      const acknowledged = session.answer(position, response);
      return stage === "practice" ? (await acknowledged).right : null;
    },
  });

  return [
    ask("before"),
    step((place) => read(place, welcome.instructions, session), () => at("instructions")),
    step((place) => wholeScreen(place, session.store), () => welcome.checks.fullscreen && at("practice", "main")),
    {
      timeline: [
        { type: StepPlugin, show: async () => fetched() },
        { timeline: [task("practice")], loop_function: () => session.answered < session.state.total },
        { type: StepPlugin, show: (place) => roundOver(place, session) },
      ],
      conditional_function: () => at("practice"),
      loop_function: () => at("practice"),
    },
    {
      timeline: [
        { type: StepPlugin, show: async () => fetched() },
        { timeline: [task("main")], loop_function: () => session.answered < session.state.total },
        { type: StepPlugin, show: (place) => allSent(place, session) },
      ],
      conditional_function: () => at("main"),
    },
    ask("after"),
  ];
}

async function questionsOf(place, asked, stage, session) {
  progress(null);
  const send = (answers) => (Object.keys(answers).length ? session.queue.put("questions", { answers }) : null);
  if (asked.length) await steps.questions(place, asked, send);
  await session.passed(stage);
}

async function read(place, pages, session) {
  progress(null);
  const spent = stopwatch(session.store, "instructions");
  await steps.instructions(place, pages);
  const elapsed = spent();
  steps.waits(place, say("wait"));
  await session.passed("instructions", elapsed);
}

async function wholeScreen(place, store) {
  if (!fullscreenThere()) return;
  progress(null);
  if (!document.fullscreenElement && !store.get("without_fullscreen")) {
    const without = () => store.set("without_fullscreen", true); // asked once; the button at the top stays
    await steps.fullscreen(place, enterFullscreen, without);
  }
  offerFullscreen();
}

function counted(stage, session) {
  const values = { n: session.answered + 1, total: session.state.total };
  const text = stage === "practice" ? say("practice_of", values) : say("task_of", values);
  progress(text, session.answered, session.state.total);
  return `${text}. `;
}

async function roundOver(place, session) {
  await session.load();
  progress(null);
  if (session.state.stage === "practice") {
    await steps.told(place, say("practice_again_title"), say("practice_again"));
  } else {
    await steps.told(place, say("practice_passed_title"), say("practice_passed"), say("practice_passed_start"));
  }
}

async function allSent(place, session) {
  progress(null);
  steps.waits(place, say("sending_title"), say("sending"));
  await session.settled();
}
