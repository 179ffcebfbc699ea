// The parts of the page that Gradio does not have: a photo whose plates are marked by corners to drag, a list of
// frames, and a result to compare and copy. Each function gets the element of a gr.HTML, `trigger` to call Python, and
// `watch`, which runs a function when Python has set `props.value`. Texts go in as textContent, never as HTML.
const plates = (() => {
  const MOST_BYTES = { photo: 20e6, frames: 100e6 };
  const CORNERS = ["bottom right", "bottom left", "top left", "top right"];
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  // of the magnifier: px of its side, times enlarged
  const LENS = 144, ZOOM = 4;
  // px of the screen, that a handle needs beside its corner
  const EDGE = 30;
  const PAUSE_MS = 500;
  // that the next files wait for the page to show what came of the last ones
  const LONGEST_ANSWER_MS = 5000;
  // between two looks whether the program behind the page is there
  const BEAT_MS = 3000;
  // the page is shown when nothing has been added to it for so long, or after the longest time
  const STILL_MS = 150, LONGEST_START_MS = 15000;

  const file = (path) => "/gradio_api/file=" + encodeURIComponent(path);
  const seen = (element) => element.offsetParent !== null;

  function made(tag, attributes = {}, text = "") {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  }

  function button(text, press, attributes = {}) {
    const element = made("button", { type: "button", class: "small", ...attributes }, text);
    element.addEventListener("click", press);
    return element;
  }

  // Files that are chosen, dropped or pasted are uploaded; `take` gets their paths and names. Returns what is to be called
  // when the page shows what came of them: of two events at once, Gradio may leave out what follows the first.
  function intake(element, kind, tell, take) {
    const input = element.querySelector("input[type=file]");
    let turn = Promise.resolve(), shown = () => {};
    // one after another, so that the last one given is the last to come in
    function send(files) {
      const given = [...files];
      turn = turn.then(() => upload(given)).then(() => new Promise((done) => {
        shown = done;
        setTimeout(done, LONGEST_ANSWER_MS);
      }));
    }
    async function upload(files) {
      const heavy = files.find((each) => each.size > MOST_BYTES[kind]);
      if (!files.length) return;
      // the old result is not seen from now on
      element.classList.add("uploading");
      if (heavy) {
        const size = Math.ceil(heavy.size / 1e6);
        tell("", `${heavy.name}: too large: ${size} MB, at most ${MOST_BYTES[kind] / 1e6} MB are taken`);
        return take([]);
      }
      tell(files.length > 1 ? `Uploading ${files.length} files…` : `Uploading ${files[0].name}…`, "");
      const form = new FormData();
      for (const each of files) form.append("files", each, each.name || "pasted.png");
      try {
        const answer = await fetch("/gradio_api/upload", { method: "POST", body: form });
        if (!answer.ok) throw new Error(await answer.text());
        const paths = await answer.json();
        take(paths.map((path, i) => ({ path, name: files[i].name || "pasted.png" })));
      } catch (error) {
        // what fetch throws where nobody answers
        const reason = error instanceof TypeError ? "the program behind this page does not answer" : error.message;
        tell("", `${files[0].name}: cannot be uploaded: ${reason}`);
        take([]);
      }
    }
    input.addEventListener("change", () => { send(input.files); input.value = ""; });
    for (const each of element.querySelectorAll(".choose")) each.addEventListener("click", () => input.click());
    const over = (event, on) => { event.preventDefault(); element.classList.toggle("over", on); };
    // anywhere: a picture dropped beside the box would replace the page
    document.addEventListener("dragover", (event) => seen(element) && over(event, true));
    document.addEventListener("dragleave", (event) => seen(element) && over(event, false));
    document.addEventListener("drop", (event) => {
      if (!seen(element)) return;
      over(event, false);
      send(event.dataTransfer.files);
    });
    document.addEventListener("paste", (event) => {
      if (seen(element) && event.clipboardData.files.length) { event.preventDefault(); send(event.clipboardData.files); }
    });
    return () => shown();
  }

  function teller(element) {
    const status = element.querySelector(".status"), problem = element.querySelector(".problem");
    return (doing, wrong) => {
      const begins = doing !== "" && status.textContent === "";
      status.textContent = doing;
      status.classList.toggle("busy", doing !== "");
      problem.textContent = wrong;
      problem.hidden = wrong === "";
      // an example lies far below on a small screen
      if (begins || wrong !== "") (wrong === "" ? status : problem).scrollIntoView({ block: "nearest" });
    };
  }

  // --- One photo, with the corners of its plates ------------------------------------------------------------------

  function photo(element, trigger, props, watch) {
    const part = (selector) => element.querySelector(selector);
    const frame = part(".frame"), image = part(".frame img"), drawing = part("svg"), lens = part("canvas");
    const handles = CORNERS.map((name, i) => handle(name, i));
    const tell = teller(element);
    let view = props.value, corners = null, timer = 0, held = false, asked = 0;

    const shown = intake(element, "photo", tell, (files) => {
      asked = 0;
      // what was refused leaves nothing old behind
      trigger(files.length ? "upload" : "clear", files[0] || { problem: part(".problem").textContent });
    });
    part(".remove").addEventListener("click", () => { asked = 0; trigger("clear", {}); });
    // neither a view that is older than the last wish, nor one that would pull a corner out of the hand
    watch("value", () => { if (!held && !timer && !(props.value.ticket < asked)) show(props.value); });
    show(view);

    function show(next) {
      view = { picture: "", plates: [], chosen: null, problem: "", status: "", offer: "", ...next };
      element.classList.remove("uploading");
      shown();
      tell(view.status, view.problem);
      corners = view.chosen === null ? null : view.plates[view.chosen].map((corner) => [...corner]);
      element.classList.toggle("filled", view.picture !== "");
      if (view.picture) {
        frame.style.setProperty("--ratio", view.width / view.height);
        if (image.getAttribute("src") !== file(view.picture)) image.src = file(view.picture);
        image.alt = `Your picture, ${view.name}`;
      } else image.removeAttribute("src");
      part(".name").textContent = view.name || "";
      offer();
      draw();
    }

    function offer() {
      const tools = part(".tools"), many = view.plates.length > 1;
      tools.replaceChildren(...(many ? view.plates.map((_, i) =>
        button(`Plate ${i + 1}`, () => choose(i), { "aria-pressed": String(i === view.chosen) })) : []));
      if (view.offer.includes("mark")) tools.append(button("Mark the plate myself", mark));
      if (view.offer.includes("whole")) tools.append(button("The picture is the plate", () => ask({ whole: true })));
      if (view.offer.includes("found")) tools.append(button("As found", () => ask({ plate: view.chosen ?? 0 })));
    }

    function choose(i) { if (i !== view.chosen) ask({ plate: i }); }

    function ask(what) {
      tell("Restoring…", "");
      trigger("select", { ...what, ticket: ++asked });
    }

    function mark() {
      const [w, h] = [view.width, view.height], x = 0.2 * w, y = Math.max(0.35 * h, h / 2 - 0.12 * w);
      corners = [[w - x, h - y], [x, h - y], [x, y], [w - x, y]];
      view.plates = [corners];
      view.chosen = 0;
      draw();
      handles[2].focus();
    }

    function draw() {
      const [w, h] = [view.width, view.height];
      drawing.setAttribute("viewBox", `0 0 ${w || 1} ${h || 1}`);
      drawing.replaceChildren();
      view.plates.forEach((plate, i) => {
        const points = (i === view.chosen ? corners : plate).map((corner) => corner.join(",")).join(" ");
        for (const kind of ["edge", "line"]) {
          const shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
          shape.setAttribute("points", points);
          shape.setAttribute("class", i === view.chosen ? `${kind} chosen` : kind);
          shape.addEventListener("click", () => choose(i));
          drawing.append(shape);
        }
      });
      handles.forEach((each, i) => {
        each.hidden = !corners;
        if (!corners) return;
        const [x, y] = inside(corners[i]);
        each.style.setProperty("--right", aside(i, 0));
        each.style.setProperty("--down", aside(i, 1));
        each.style.left = `${(100 * x) / w}%`;
        each.style.top = `${(100 * y) / h}%`;
        each.setAttribute("aria-label", `${CORNERS[i]} corner of the plate, at ${Math.round(x)}, ${Math.round(y)}`);
      });
    }

    // A handle lies beside its corner, away from the plate, which it would cover; but not outside of the photo.
    function aside(i, axis) {
      const [at, opposite] = [i, (i + 2) % 4].map((each) => inside(corners[each])[axis]);
      const way = at > opposite ? 1 : -1, room = way > 0 ? [view.width, view.height][axis] - at : at;
      return room * frame.clientWidth < EDGE * view.width ? 0 : way;
    }

    const inside = ([x, y]) => [Math.min(Math.max(x, 0), view.width), Math.min(Math.max(y, 0), view.height)];

    function handle(name, i) {
      const each = made("button", { type: "button", class: "handle" });
      each.hidden = true;
      frame.append(each);
      let grip = null;
      each.addEventListener("pointerdown", (event) => {
        each.setPointerCapture(event.pointerId);
        held = true;
        const box = frame.getBoundingClientRect(), scale = box.width / view.width, [x, y] = inside(corners[i]);
        // the corner does not jump to where the finger is
        grip = [event.clientX - box.left - x * scale, event.clientY - box.top - y * scale];
        magnify(i);
      });
      each.addEventListener("pointermove", (event) => {
        if (!grip) return;
        const box = frame.getBoundingClientRect(), scale = view.width / box.width;
        move(i, [(event.clientX - grip[0] - box.left) * scale, (event.clientY - grip[1] - box.top) * scale]);
      });
      for (const end of ["pointerup", "pointercancel"]) {
        each.addEventListener(end, () => { if (grip) { grip = null; held = false; lens.hidden = true; moved(0); } });
      }
      each.addEventListener("keydown", (event) => {
        const way = ARROWS[event.key];
        if (!way) return;
        event.preventDefault();
        const step = Math.max(1, view.width / frame.clientWidth) * (event.shiftKey ? 10 : 1);
        move(i, [corners[i][0] + step * way[0], corners[i][1] + step * way[1]]);
        moved(PAUSE_MS);
      });
      each.addEventListener("blur", () => (lens.hidden = true));
      return each;
    }

    function move(i, place) {
      corners = corners.map((corner, j) => inside(i === j ? place : corner));
      draw();
      magnify(i);
    }

    // after the last key, not after each
    function moved(pause) {
      clearTimeout(timer);
      timer = setTimeout(() => { timer = 0; ask({ plate: view.chosen, corners }); }, pause);
    }

    function magnify(i) {
      const [x, y] = inside(corners[i]), pen = lens.getContext("2d");
      const shown = image.naturalWidth / view.width, side = (LENS / ZOOM) * (image.naturalWidth / frame.clientWidth);
      const factor = LENS / side;
      const at = ([a, b]) => [(a - x) * shown * factor + LENS / 2, (b - y) * shown * factor + LENS / 2];
      pen.fillStyle = "#808080";
      pen.fillRect(0, 0, LENS, LENS);
      pen.drawImage(image, x * shown - side / 2, y * shown - side / 2, side, side, 0, 0, LENS, LENS);
      pen.beginPath();
      for (const each of corners) pen.lineTo(...at(each));
      pen.closePath();
      for (const [width, colour] of [[4, "#000000"], [2, "#ffd60a"]]) {
        pen.lineWidth = width;
        pen.strokeStyle = colour;
        pen.stroke();
      }
      // away from the corner, and from the finger below it
      lens.classList.toggle("right", x < view.width / 2);
      lens.hidden = false;
    }
  }

  // --- Several frames, or a film ----------------------------------------------------------------------------------

  function frames(element, trigger, props, watch) {
    const part = (selector) => element.querySelector(selector);
    const tell = teller(element);
    const shown = intake(element, "frames", tell, (files) => {
      // what was refused leaves the others as they are
      if (files.length) trigger("upload", { files });
      else element.classList.remove("uploading");
    });
    part(".remove").addEventListener("click", () => { tell("", ""); trigger("clear", {}); });
    watch("value", show);
    show();

    function show() {
      const view = { frames: [], status: "", problem: "", ...props.value };
      element.classList.remove("uploading");
      shown();
      tell(view.status, view.problem);
      element.classList.toggle("filled", view.frames.length > 0);
      part(".frames").replaceChildren(...view.frames.map((each, i) => {
        const item = made("li");
        if (each.picture) item.append(made("img", { src: file(each.picture), alt: "" }));
        item.append(made("span", {}, each.name), button("×", () => { tell("Restoring…", ""); trigger("select", { remove: i }); },
          { "aria-label": `Remove ${each.name}` }));
        return item;
      }));
      const plates = view.plates || [];
      part(".tools").replaceChildren(...plates.map((label, i) =>
        button(label, () => trigger("select", { plate: i }), { "aria-pressed": String(i === view.chosen) })));
    }
  }

  // --- The result -------------------------------------------------------------------------------------------------

  function result(element, watch) {
    let open = false;
    element.addEventListener("input", (event) => event.target.closest(".compare") && place(event.target));
    element.addEventListener("click", (event) => {
      const copy = event.target.closest(".copy");
      if (copy) { copied(copy.dataset.text); copy.textContent = "Copied"; setTimeout(() => (copy.textContent = "Copy"), 1500); }
    });
    element.addEventListener("toggle", (event) => event.isTrusted && (open = event.target.open), true);
    watch("value", () => {
      element.querySelectorAll("details").forEach((each) => (each.open = open));
      element.querySelectorAll(".compare input").forEach(place);
      const answer = element.querySelector(".answer");
      // on a phone it lies below the picture
      if (answer && answer.getBoundingClientRect().top > innerHeight - 80) {
        const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
        answer.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
      }
    });
    const place = (input) => input.parentElement.style.setProperty("--at", input.value / 100);
  }

  async function copied(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    // on a page without encryption from another machine there is no clipboard
    const area = document.body.appendChild(made("textarea", {}, text));
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  // --- Arrow keys within tabs and radios, which Gradio leaves out --------------------------------------------------

  const WAYS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -Infinity, End: Infinity };

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest("[role=tab], input[type=radio]"), way = WAYS[event.key];
    if (!tab || way === undefined) return;
    event.preventDefault();
    const all = [...tab.closest("[role=tablist], .block").querySelectorAll("[role=tab], input[type=radio]")].filter(seen);
    const next = all[Math.min(Math.max(all.indexOf(tab) + way, 0), all.length - 1)];
    next.click();
    next.focus();
  });

  // --- The program behind the page: when it is gone, nothing here does anything ------------------------------------

  const away = made("div", { class: "away problem", role: "alert" },
    "The program behind this page has stopped, or cannot be reached. Start it again, and the page loads anew.");
  let known = null;

  async function beat() {
    let here = true;
    try {
      const answer = await fetch("/gradio_api/app_id"), id = answer.ok ? (await answer.json()).app_id : known;
      // another one knows nothing of what is shown here
      if (known && id !== known) location.reload();
      known = id;
    } catch { here = false; }
    document.querySelector("gradio-app").inert = !here;
    if (here) away.remove();
    else if (!away.isConnected) document.body.append(away);
    setTimeout(beat, BEAT_MS);
  }
  setTimeout(beat, BEAT_MS);

  // --- The start: what Gradio moves while it puts the page together is not seen -------------------------------------

  const root = document.documentElement, standing = () => document.querySelector("#photo .choose");
  let still = 0;
  const building = new MutationObserver(() => {
    clearTimeout(still);
    if (standing()) still = setTimeout(show, STILL_MS);
  });
  function show() {
    building.disconnect();
    root.classList.remove("starting");
  }
  root.classList.add("starting");
  building.observe(root, { childList: true, subtree: true });
  // whatever went wrong is better seen
  setTimeout(show, LONGEST_START_MS);

  return { photo, frames, result };
})();
