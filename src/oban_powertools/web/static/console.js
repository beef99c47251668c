// What pages do better with a script: theme, copying, choosing rows, keys, and staying current. Everything works
// without it. No key ever executes anything; nothing moves under the pointer.
(() => {
  "use strict";

  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // ---- Theme: system, light, dark, in a cookie that the server reads, so that nothing flashes

  const themes = ["system", "light", "dark"];
  let theme = root.dataset.theme || "system";

  const showTheme = () => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    one("[data-theme-word]").textContent = theme[0].toUpperCase() + theme.slice(1);
  };

  const nextTheme = () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    const path = document.body.dataset.root || "/";
    document.cookie = `powertools_theme=${theme}; path=${path}; max-age=31536000; samesite=strict`;
    showTheme();
  };

  one("[data-theme-button]").hidden = false;
  one("[data-theme-button]").addEventListener("click", nextTheme);
  showTheme();

  // ---- Saying something to those who listen

  const announce = (text) => { one("[data-announce]").textContent = text; };

  // ---- Copying; where the page is not secure, in the browser's old way

  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea");
    Object.assign(field, { value: text, readOnly: true, className: "visually-hidden" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  };

  const offerCopies = (within) => all("[data-copy]", within).forEach((button) => { button.hidden = false; });
  offerCopies(document);

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await copy(button.dataset.copy);
    button.classList.add("done");
    announce("Copied");
    setTimeout(() => button.classList.remove("done"), 1500);
  });

  // ---- Choosing rows, for a bulk

  const countChosen = () => {
    for (const said of all("[data-chosen]")) {
      const form = said.closest("form");
      const boxes = all(".pick input:not([data-all])", form);
      const chosen = boxes.filter((box) => box.checked).length;
      said.dataset.none ??= said.textContent;
      said.textContent = chosen ? `${chosen} chosen` : said.dataset.none;
      const whole = one("[data-all]", form);
      if (whole) whole.checked = chosen > 0 && chosen === boxes.length;
    }
  };

  document.addEventListener("change", (event) => {
    const { target } = event;
    const others = target.matches("[data-all]") ? all(".pick input:not([data-all])", target.closest("form")) : [];
    for (const box of others) box.checked = target.checked;
    if (target.matches(".pick input")) countChosen();
  });
  for (const whole of all("[data-all]")) whole.closest(".pick").hidden = false;
  countChosen();

  // ---- Staying current: the page asks for itself again, and takes over texts and classes in their places

  const stream = document.body.dataset.stream;
  const CALM = 2000; // between two questions, in ms
  const ANYHOW = 15000; // plain jobs and beats make no event
  const STALE = 25000; // more than two beats are missing

  const bar = one(".live");
  const word = one("[data-live-word]");
  const asOf = one("[data-as-of]");
  const pauseButton = one("[data-pause]");
  let source = null;
  let paused = false;
  let asking = false;
  let askedAt = Date.now();
  let heardAt = Date.now();
  let waiting = 0;
  let announcedAt = 0;

  const ATTRIBUTES = ["class", "datetime", "title", "value", "max", "aria-label"];
  const ACTS = "form, input, select, textarea, button, .button, [data-keep]";

  const patchAttributes = (now, next) => {
    for (const name of now.localName === "use" ? ["href"] : ATTRIBUTES) {
      const value = next.getAttribute(name);
      if (value === null) now.removeAttribute(name);
      else if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
  };

  const sameShape = (now, next) =>
    now.childNodes.length === next.childNodes.length &&
    [...now.childNodes].every((child, place) => child.nodeName === next.childNodes[place].nodeName);

  const patch = (now, next) => {
    if (now.nodeType === Node.TEXT_NODE) {
      if (now.data !== next.data) now.data = next.data;
      return;
    }
    if (now.nodeType !== Node.ELEMENT_NODE || now.matches(ACTS)) return;
    const at = now.classList.contains("at");
    patchAttributes(now, next);
    now.classList.toggle("at", at);
    if (now.getAttribute("class") === "") now.removeAttribute("class");
    if (sameShape(now, next)) {
      [...now.childNodes].forEach((child, place) => patch(child, next.childNodes[place]));
    } else if (!now.contains(document.activeElement) && !one(ACTS, now)) {
      now.replaceChildren(...[...next.childNodes].map((child) => document.importNode(child, true)));
      offerCopies(now);
    }
  };

  const key = (element) => element.dataset.live || element.dataset.row;

  const takeOver = (next) => {
    const found = new Map(all("[data-live], [data-row]", next).map((element) => [key(element), element]));
    let gone = 0;
    for (const now of all("[data-live], [data-row]")) {
      const other = found.get(key(now));
      if (other) patch(now, other);
      else if (now.dataset.row) now.classList.add("gone"), gone++;
      found.delete(key(now));
    }
    const fresh = [...found.values()].filter((element) => element.dataset.row).length;
    const said = [fresh && `${fresh} new`, gone && `${gone} gone`].filter(Boolean).join(", ");
    one("[data-new]").hidden = !said;
    if (said) one("[data-new-word]").textContent = `${said}, show`;
    const summary = one("[data-summary]")?.textContent;
    if (summary && summary !== one("[data-announce]").textContent && Date.now() - announcedAt > 10000) {
      announcedAt = Date.now();
      announce(summary);
    }
  };

  const isBusy = () => {
    const selection = getSelection();
    return document.hidden || paused || !!one("dialog[open]") || (selection && !selection.isCollapsed);
  };

  const show = (state) => {
    bar.dataset.state = state;
    word.textContent = { live: "Live, as of", paused: "Paused at", lost: "As of" }[state];
    one("[data-stale]").hidden = state !== "lost";
  };

  const ask = async () => {
    if (asking || isBusy()) return;
    asking = true;
    askedAt = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "X-Powertools-Live": "yes" } });
      if (!answer.ok) throw new Error(answer.status);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (isBusy()) return;
      // What somebody points at stays under the pointer: by as much as grew above it, the page is scrolled.
      const held = one(`:is(a, ${ACTS}):hover`);
      const top = held?.getBoundingClientRect().top;
      takeOver(next);
      if (held) scrollBy({ top: held.getBoundingClientRect().top - top, behavior: "instant" });
      patch(asOf, one("[data-as-of]", next));
      heardAt = Date.now();
      show("live");
    } catch {
      if (Date.now() - heardAt > STALE) show("lost");
    } finally {
      asking = false;
    }
  };

  const askSoon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, Math.max(0, askedAt + CALM - Date.now()));
  };

  const listen = () => {
    if (source) return;
    source = new EventSource(stream);
    // What happened between the page and its stream was told to nobody.
    source.addEventListener("open", askSoon);
    source.addEventListener("changed", () => { heardAt = Date.now(); askSoon(); });
    source.addEventListener("beat", () => { heardAt = Date.now(); });
    source.addEventListener("error", () => {
      // Refused for good: then the page asks at intervals, and listens again when it is looked at anew.
      if (source && source.readyState === EventSource.CLOSED) source = null;
    });
  };

  const rest = () => { source?.close(); source = null; };

  const setPaused = (value) => {
    paused = value;
    one("[data-pause-word]").textContent = paused ? "Go on" : "Pause";
    show(paused ? "paused" : "live");
    if (paused) rest();
    else listen(), ask();
  };

  if (stream) {
    pauseButton.hidden = false;
    pauseButton.addEventListener("click", () => setPaused(!paused));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) rest();
      else if (!paused) listen(), ask();
    });
    addEventListener("pagehide", rest);
    addEventListener("pageshow", (event) => { if (event.persisted && !paused) listen(), ask(); });
    setInterval(() => {
      const now = Date.now();
      if (now - heardAt > STALE && !isBusy()) show("lost");
      if (now - askedAt > (source ? ANYHOW : 5000)) ask();
    }, 1000);
    listen();
    show("live");
  }

  // ---- Keys

  const KEYS_OFF = "powertools_keys_off";
  const dialog = one("#keys");
  const switchOff = one("[data-keys-off]");
  switchOff.checked = localStorage.getItem(KEYS_OFF) === "yes";
  switchOff.addEventListener("change", () => localStorage.setItem(KEYS_OFF, switchOff.checked ? "yes" : "no"));
  let goUntil = 0;

  const rows = () => all("[data-row]:not(.gone)");
  const currentRow = () => document.activeElement.closest("[data-row]");

  const step = (by) => {
    const list = rows();
    const place = list.indexOf(currentRow());
    const next = list[place < 0 ? (by > 0 ? 0 : list.length - 1) : place + by];
    const link = next && one("[data-open], a[href]", next);
    if (link) link.focus();
  };

  const back = () => {
    const above = all(".crumbs a").pop();
    if (!above) return;
    const before = document.referrer && new URL(document.referrer);
    const came = before && before.origin === location.origin && before.pathname === new URL(above.href).pathname;
    if (came) history.back();
    else location.href = above.href;
  };

  const KEYS = {
    "/": () => {
      const field = one("[data-filter]") || one(".filters input[type=search]");
      field?.closest("details")?.setAttribute("open", "");
      field?.focus();
    },
    "?": () => dialog.showModal(),
    j: () => step(1),
    k: () => step(-1),
    x: () => { const box = currentRow() && one(".pick input", currentRow()); if (box) box.click(); },
    p: () => {
      // A preview changes nothing, and no key presses what executes.
      const first = (currentRow() && one("[data-preview]", currentRow())) || one("[data-preview]");
      first?.click();
    },
    r: () => stream && setPaused(!paused),
    t: nextTheme,
    g: () => { goUntil = Date.now() + 1500; },
    Escape: back,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || switchOff.checked) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea, [contenteditable], dialog")) return;
    if (event.key === "Escape" && one(":popover-open")) return;
    const going = Date.now() < goUntil && one(`.nav a[data-key="${CSS.escape(event.key)}"]`);
    goUntil = 0;
    const act = going ? () => going.click() : KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
})();
