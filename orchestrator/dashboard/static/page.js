// Keeps a page live: when the service says that something happened, the page is fetched again, and those of its parts
// that have changed are exchanged. Nothing else of the page moves: forms, focus, scrolling and open details stay.
// Without events it asks every few seconds. Without this script the page is what it was when it was loaded.
"use strict";

(() => {
  const PAUSE = 1000; // At least, between two fetches; more where they take long, so that pages never crowd a service.
  const POLL = 5000; // Between two looks, as long as no events come.
  const LIVE = "[data-live]";
  const told = document.getElementById("liveness");
  const { events, subject } = document.body.dataset;
  let source = null;
  let running = false;
  let wanted = false;

  const say = (text) => {
    if (told && told.textContent !== text) told.textContent = text;
  };

  const listening = () => source !== null && source.readyState === EventSource.OPEN;

  const exchange = (present, fresh) => {
    for (const old of present.querySelectorAll("details[id][open]")) {
      fresh.querySelector("#" + CSS.escape(old.id))?.setAttribute("open", "");
    }
    const focused = present.contains(document.activeElement) ? document.activeElement : null;
    if (focused && focused.matches("input")) return; // Somebody is writing.
    const scrolled = present.querySelector(".scroll")?.scrollLeft ?? 0;
    const way = focused?.getAttribute("href");
    const rows = (element) => element.outerHTML;
    if (rows(present) === rows(fresh)) return;
    present.replaceWith(fresh);
    const scrolling = fresh.querySelector(".scroll");
    if (scrolling) scrolling.scrollLeft = scrolled;
    if (focused) {
      const again = way ? fresh.querySelector(`a[href="${CSS.escape(way)}"]`) : focused.id && document.getElementById(focused.id);
      again?.focus({ preventScroll: true });
    }
  };

  const refresh = async () => {
    const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (response.redirected && new URL(response.url).pathname === "/login") {
      location.assign(response.url);
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const fresh of page.querySelectorAll(LIVE)) {
      const present = document.getElementById(fresh.id);
      if (present) exchange(present, document.adoptNode(fresh));
    }
    say(listening() ? "live" : `looks every ${POLL / 1000} s`);
  };

  const ask = async () => {
    wanted = true;
    if (running || document.hidden) return;
    running = true;
    while (wanted && !document.hidden) {
      wanted = false;
      const started = performance.now();
      try {
        await refresh();
      } catch {
        say("the service does not answer; trying again");
      }
      const pause = Math.max(PAUSE, 10 * (performance.now() - started));
      await new Promise((done) => setTimeout(done, pause));
    }
    running = false;
  };

  const concerns = (event) => {
    if (!subject) return true;
    try {
      const { subject: of } = JSON.parse(event.data);
      return of === undefined || !of.startsWith("endpoints/") || of.endsWith("/" + subject);
    } catch {
      return true;
    }
  };

  const listen = () => {
    source?.close();
    source = null;
    if (!events || document.hidden) return;
    source = new EventSource(events);
    source.onopen = () => say("live");
    source.onerror = () => say(`looks every ${POLL / 1000} s`);
    const types = new URL(events, location.href).searchParams.get("types");
    for (const type of types ? types.split(",") : []) {
      source.addEventListener(type, (event) => concerns(event) && ask());
    }
  };

  document.addEventListener("visibilitychange", () => {
    listen();
    if (!document.hidden) ask();
  });
  addEventListener("pagehide", () => source?.close());
  setInterval(() => {
    if (listening() || document.hidden) return;
    if (source?.readyState === EventSource.CLOSED) listen();
    ask();
  }, POLL);
  listen();
})();
