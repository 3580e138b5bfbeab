// Keeps the relative times of the page moving between two refreshes, and says so when the refreshes stop coming.
"use strict";
(function () {
  const REFRESH_WHEN_SHOWN = ["live", "run", "job-now"];
  let ahead = 0; // how far the server's clock is ahead of this one, in ms
  let heard = Date.now();
  let tone = null;
  let reading = null; // how far down somebody reads what a run prints; null at its end

  function span(seconds) {
    const units = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];
    for (const [big, size, small, part] of units) {
      if (seconds >= size) {
        const rest = Math.floor((seconds % size) / part);
        return Math.floor(seconds / size) + " " + big + (rest ? " " + rest + " " + small : "");
      }
    }
    return seconds + " s";
  }

  function relative(moment) {
    const seconds = Math.round((moment - (Date.now() + ahead)) / 1000);
    if (seconds === 0) return "now";
    return seconds > 0 ? "in " + span(seconds) : span(-seconds) + " ago";
  }

  function tick() {
    for (const element of document.querySelectorAll("[data-rel]")) {
      const text = relative(Date.parse(element.dataset.rel));
      if (element.textContent !== text) element.textContent = text;
    }
  }

  function learn() {
    const marked = document.querySelector("[data-now]");
    if (!marked) return;
    ahead = Date.parse(marked.dataset.now) - Date.now();
    const announce = document.getElementById("announce");
    const headline = document.querySelector(".verdict h1");
    if (announce && headline && tone !== null && marked.dataset.tone !== tone) announce.textContent = headline.textContent;
    tone = marked.dataset.tone || null;
    tick();
  }

  // What a run prints grows at its end: that is shown, unless somebody has scrolled up to read.
  function follow() {
    const said = document.getElementById("said");
    if (said && "grows" in said.dataset) said.scrollTop = reading === null ? said.scrollHeight : reading;
  }

  function remember() {
    const said = document.getElementById("said");
    const reads = said && said.scrollTop + said.clientHeight < said.scrollHeight - 4;
    reading = reads ? said.scrollTop : null;
  }

  function fresh() {
    heard = Date.now();
    const stale = document.getElementById("stale");
    if (stale) stale.hidden = true;
  }

  function silent() {
    const stale = document.getElementById("stale");
    if (!stale) return;
    const since = new Date(heard + ahead).toISOString().slice(11, 19);
    stale.textContent = "No answer since " + since + " UTC. What you see below is old. Is the stack running? bin/stack";
    stale.hidden = false;
  }

  document.addEventListener("htmx:beforeRequest", function (event) {
    if (document.hidden && event.detail.requestConfig.verb === "get") event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.xhr && event.detail.xhr.status > 0) fresh();
    else silent();
  });
  document.addEventListener("htmx:beforeSwap", remember);
  document.addEventListener("htmx:afterSettle", learn);
  document.addEventListener("htmx:afterSettle", follow);
  document.addEventListener("visibilitychange", function () {
    if (document.hidden || !window.htmx) return;
    for (const id of REFRESH_WHEN_SHOWN) {
      const element = document.getElementById(id);
      if (element && element.hasAttribute("hx-get")) window.htmx.trigger(element, "refresh");
    }
  });
  learn();
  follow();
  window.setInterval(tick, 1000);
})();
