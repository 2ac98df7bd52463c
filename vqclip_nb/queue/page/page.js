"use strict";
const $ = name => document.getElementById(name);
const SIDES = [64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024];
let form = null;      // what may be asked for
let queue = { rows: [], length: 0, waiting: 0, ended: 0 };
let pictures = [];    // that have ended, the latest first
let chosen = null;    // the one that was clicked on, by id
let begin = null;     // the name of the picture to begin with
let stream = null;

async function api(method, path, body) {
  const options = { method, headers: {} };
  if (body instanceof Blob) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, options).catch(() => null);
  if (answer === null) throw new Error("The server does not answer.");
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const told = await answer.json().catch(() => ({ detail: answer.statusText }));
  const error = new Error(told.detail);
  error.status = answer.status;
  throw error;
}

function element(tag, parent, text, name) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (name) made.className = name;
  parent.append(made);
  return made;
}

function press(parent, text, does, name) {
  const button = element("button", parent, text, name);
  button.type = "button";
  button.onclick = async () => {
    button.disabled = true;
    await attempt(does);
    button.disabled = false;
  };
  return button;
}

async function attempt(does) {
  const wrong = document.querySelector("#ask .wrong");
  wrong.textContent = "";
  try {
    await does();
  } catch (error) {
    if (error.status === 401) return ask_token();
    wrong.textContent = error.message;
  }
}

const is_open = job => job.state === "waiting" || job.state === "painting";
const own = () => queue.rows.filter(row => row.mine);
const percent = job => `${Math.round(100 * job.step / job.steps)}%`;

function in_words(place) {
  if (place === 1) return "You are next.";
  const tail = place % 100 > 10 && place % 100 < 14 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[place % 10] || "th";
  return `You are ${place}${tail} in the queue.`;
}

/* the token */

function ask_token() {
  if (stream) stream.close();
  $("all").hidden = true;
  $("leave").hidden = true;
  $("who").textContent = "";
  $("enter").hidden = false;
  $("token").focus();
}

$("enter").onsubmit = async event => {
  event.preventDefault();
  const wrong = $("enter").querySelector(".wrong");
  wrong.textContent = "";
  try {
    await api("POST", "/api/session", { token: $("token").value.trim() });
    $("token").value = "";
    await open();
  } catch (error) {
    wrong.textContent = error.message;
  }
};

$("leave").onclick = async () => {
  await api("DELETE", "/api/session");
  location.reload();
};

/* asking */

function fill(select, values, value) {
  select.replaceChildren();
  for (const [each, shown] of values) select.add(new Option(shown, each));
  select.value = value;
}

function show_form() {
  const { limits, defaults, canvases, perceptors } = form;
  const [width] = defaults.size, sides = [...new Set([...SIDES, width])].sort((one, other) => one - other);
  fill($("side"), sides.filter(side => side <= limits.largest_side).map(side => [side, side]), width);
  const counts = Array.from({ length: limits.most_variations }, (_, index) => [index + 1, index + 1]);
  fill($("variations"), counts, 1);
  fill($("canvas"), canvases.map(name => [name, name]), canvases[0]);
  fill($("perceptor"), perceptors.map(name => [name, name]), perceptors[0]);
  $("canvas-label").hidden = canvases.length < 2;
  $("perceptor-label").hidden = perceptors.length < 2;
  $("steps").max = limits.most_steps;
  $("steps").value = defaults.steps;
  $("prompt").maxLength = limits.longest_text;
  $("gallery-title").textContent = limits.shared_gallery ? "Pictures" : "Your pictures";
  $("who").textContent = form.guest ? "guest" : form.name;
  $("leave").hidden = form.guest;
}

function size() {
  const side = Number($("side").value), [across, down] = $("shape").value.split(" ").map(Number);
  const long = Math.max(across, down);
  return [Math.round(side * across / long), Math.round(side * down / long)];
}

$("ask").onsubmit = event => {
  event.preventDefault();
  $("paint").disabled = true;
  attempt(async () => {
    const wish = {
      prompt: $("prompt").value, size: size(), steps: Number($("steps").value),
      seed: $("seed").value === "" ? -1 : Number($("seed").value), variations: Number($("variations").value),
      canvas: $("canvas").value, perceptor: $("perceptor").value,
    };
    if (begin) wish.picture = begin;
    await send(wish);
  }).then(() => { $("paint").disabled = false; });
};

async function send(wish) {
  const job = await api("POST", "/api/jobs", wish);
  chosen = null;
  if (!queue.rows.some(row => row.id === job.id)) queue.rows.push({ ...job, name: "you", mine: true });
  show();
}

$("prompt").onkeydown = event => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
};

$("file").onchange = () => attempt(async () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (!file) return;
  begin = (await api("POST", "/api/pictures", file)).picture;
  $("begun").hidden = false;
  $("begun").querySelector("img").src = URL.createObjectURL(file);
});

$("begun").querySelector("button").onclick = () => {
  begin = null;
  $("begun").hidden = true;
};

/* the picture */

function on_stage() {
  const found = chosen && (own().find(job => job.id === chosen) || pictures.find(job => job.id === chosen));
  return found || own().find(job => job.state === "painting") || own()[0] || pictures.find(job => job.mine) || null;
}

function show_stage() {
  const job = on_stage(), image = $("picture"), actions = document.querySelector("#stage .actions");
  const shown = job && (job.picture ? `${job.picture}?at=${job.ended}` : job.preview);
  image.hidden = !shown;
  if (shown && image.getAttribute("src") !== shown) image.src = shown;
  image.alt = job ? job.prompt : "";
  $("empty").textContent = shown ? "" : waiting_words(job);
  const bar = document.querySelector("#stage > .bar");
  bar.hidden = !job || job.state !== "painting";
  bar.firstChild.style.width = job ? percent(job) : 0;
  $("said").textContent = stage_words(job, Boolean(shown));
  $("said").className = job && job.state === "failed" ? "wrong" : "";
  $("title").textContent = job ? `${job.prompt} · seed ${job.seed}` : "";
  const key = job ? `${job.id} ${job.state} ${job.film}` : "";
  if (actions.dataset.key === key) return;
  actions.dataset.key = key;
  actions.replaceChildren();
  if (job) show_actions(job, actions);
}

function waiting_words(job) {
  if (!job) return "Say what to paint. The picture grows here.";
  if (job.state === "painting") return "The painting begins.";
  if (job.state === "waiting") return in_words(job.place);
  return job.state === "failed" ? "" : "Cancelled before it was begun.";
}

function stage_words(job, shown) {
  if (!job) return "";
  if (job.state === "painting") return job.step ? `Step ${job.step} of ${job.steps}` : "";
  if (job.state === "waiting") return shown ? `${in_words(job.place)} It goes on to step ${job.steps}.` : "";
  if (job.state === "failed") return job.error;
  return job.state === "cancelled" ? `Stopped at step ${job.step} of ${job.steps}` : "";
}

function show_actions(job, actions) {
  if (is_open(job)) {
    press(actions, "Cancel", () => api("DELETE", `/api/jobs/${job.id}`));
    return;
  }
  for (const name of ["picture", "film", "settings"]) if (job[name]) {
    const link = element("a", actions, name[0].toUpperCase() + name.slice(1), name === "picture" ? "button first" : "button");
    link.href = job[name];
    link.download = "";
  }
  if (!job.mine) return;
  press(actions, "Another seed", () => send({ ...job.wish, seed: -1 }));
  const more = Math.min(job.steps * 2, form.limits.most_steps);
  if (job.state === "done" && more > job.steps) {
    press(actions, `Paint ${more - job.steps} more steps`, async () => {
      await api("POST", `/api/jobs/${job.id}/more`, { steps: more });
      pictures = pictures.filter(each => each.id !== job.id);
      chosen = null;
    });
  }
  press(actions, "Delete", async () => {
    await api("DELETE", `/api/jobs/${job.id}`);
    chosen = null;
    await load_pictures();
  }, "plain");
}

/* the queue and the gallery */

function show_queue() {
  $("length").textContent = queue.length || "";
  const list = $("queue"), key = JSON.stringify(queue.rows.map(({ id, place, name, prompt }) => [id, place, name, prompt]));
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    fill_queue(list);
  }
  const painted = queue.rows.filter(row => !row.place);
  list.querySelectorAll("i").forEach((bar, index) => { bar.style.width = percent(painted[index]); });
}

function fill_queue(list) {
  list.replaceChildren();
  if (!queue.rows.length) element("li", list, "Nobody waits.", "none");
  let last = 0;
  for (const row of queue.rows) {
    if (row.place > last + 1) element("li", list, `… ${row.place - last - 1} more`, "none");
    last = Math.max(last, row.place);
    const item = element("li", list, "", row.mine ? "own" : "");
    element("span", item, row.place ? String(row.place) : "▸", "place");
    const words = element("span", item, "", "words");
    element("span", words, row.name, "name");
    if (row.prompt) element("span", words, ` ${row.prompt}`, "quiet");
    if (row.mine) {
      const cancel = press(item, "×", () => api("DELETE", `/api/jobs/${row.id}`), "plain");
      cancel.title = "Cancel";
      cancel.setAttribute("aria-label", `Cancel ${row.prompt}`);
    }
    if (!row.place) element("i", element("div", item, "", "bar"));
  }
  const after = queue.waiting - last;
  if (after > 0) element("li", list, `… ${after} more`, "none");
}

function show_pictures() {
  const thumbs = document.querySelector("#gallery .thumbs"), now = on_stage();
  const key = JSON.stringify(pictures.map(job => [job.id, job.ended]));
  if (thumbs.dataset.key !== key) {
    thumbs.dataset.key = key;
    fill_pictures(thumbs);
  }
  thumbs.querySelectorAll("button").forEach((thumb, index) => {
    thumb.setAttribute("aria-pressed", String(now !== null && now.id === pictures[index].id));
  });
}

function fill_pictures(thumbs) {
  thumbs.replaceChildren();
  if (!pictures.length) element("p", thumbs, "What is finished is kept here.", "quiet");
  for (const job of pictures) {
    const thumb = press(thumbs, "", () => { chosen = job.id; show(); scroll_up(); });
    thumb.title = job.prompt;
    if (job.picture) {
      const image = element("img", thumb);
      image.loading = "lazy";
      image.alt = job.prompt;
      image.src = `${job.picture}?at=${job.ended}`;
    } else element("span", thumb, job.state === "failed" ? "failed" : "cancelled", "failed");
  }
}

function scroll_up() {
  if ($("stage").getBoundingClientRect().top < 0) $("stage").scrollIntoView({ behavior: "smooth" });
}

async function load_pictures() {
  pictures = (await api("GET", "/api/jobs")).filter(job => !is_open(job));
  show();
}

function show() {
  show_stage();
  show_queue();
  show_pictures();
}

function listen() {
  if (stream) stream.close();
  stream = new EventSource("/api/events");
  stream.onopen = () => { $("lost").hidden = true; };
  stream.onerror = () => {
    $("lost").hidden = false;
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => open().catch(listen), 2000);
  };
  stream.addEventListener("queue", event => {
    const before = queue.ended;
    queue = JSON.parse(event.data);
    if (queue.ended !== before) load_pictures().catch(() => show());
    else show();
  });
}

async function open() {
  try {
    form = await api("GET", "/api/form");
  } catch (error) {
    if (error.status === 401) return ask_token();
    throw error;
  }
  $("enter").hidden = true;
  $("all").hidden = false;
  show_form();
  await load_pictures();
  listen();
}

open().catch(error => { $("lost").hidden = false; setTimeout(() => location.reload(), 3000); });
