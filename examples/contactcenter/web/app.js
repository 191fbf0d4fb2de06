"use strict";
// Keeps the page fresh: times in the reader's own zone, the undo clock, frames
// as high as their mail, and the live part of the page, fetched anew when the
// feed of events says that something happened to it.

const locale = (root) => {
  const now = new Date();
  for (const el of root.querySelectorAll("time[datetime]")) {
    const at = new Date(el.dateTime);
    const today = at.toDateString() === now.toDateString();
    el.textContent = today
      ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
      : at.toLocaleDateString([], { day: "numeric", month: "short" }) + " " + at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    el.title = at.toLocaleString();
  }
};

const frames = (root) => {
  for (const f of root.querySelectorAll("iframe:not([data-fits])")) {
    f.dataset.fits = "";
    const fit = () => {
      const doc = f.contentDocument;
      if (!doc || !doc.body) return;
      f.style.height = "0"; // else a short mail is as high as its frame was
      f.style.height = Math.min(doc.documentElement.scrollHeight + 4, 2000) + "px";
    };
    f.addEventListener("load", fit);
    fit();
  }
};

const controls = (root) => {
  for (const el of root.querySelectorAll("select[data-submit]")) el.onchange = () => el.form.requestSubmit();
  for (const el of root.querySelectorAll("form[data-confirm]"))
    el.onsubmit = () => confirm(el.dataset.confirm);
};

const tick = () => {
  for (const el of document.querySelectorAll("[data-leaves]")) {
    const left = Math.ceil((new Date(el.dataset.leaves) - Date.now()) / 1000);
    el.querySelector(".left").textContent = left > 0 ? `Leaves in ${left} s` : left > -15 ? "Leaving" : "Waits to leave";
  }
};

const fresh = (root) => { locale(root); frames(root); controls(root); tick(); };

let due = 0;
const refresh = async () => {
  due = 0;
  const live = document.getElementById("live");
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  const part = next.getElementById("live");
  if (part) merge(live, part);
  const facts = document.getElementById("facts"), nextFacts = next.getElementById("facts");
  if (facts && nextFacts && !facts.contains(document.activeElement)) { facts.replaceWith(nextFacts); fresh(nextFacts); }
};

// Messages that did not change stay where they are, so that their frames do not
// load again.
const merge = (live, part) => {
  const same = (el) => el.outerHTML.replace(/<time.*?<\/time>/g, "").replace(/ (style|data-fits)="[^"]*"/g, "").replace(/Leav[^<]*/g, "");
  const wanted = [...part.children].map((el) => {
    const old = el.id && live.querySelector("#" + CSS.escape(el.id));
    if (old && same(old) === same(el)) return old;
    if (old) old.replaceWith(el);
    return el;
  });
  let at = live.firstElementChild;
  for (const el of wanted) {
    if (el === at) at = at.nextElementSibling;
    else live.insertBefore(el, at);
  }
  while (at) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
  fresh(live);
};

const follow = () => {
  const live = document.getElementById("live");
  if (!live) return;
  const feed = new EventSource("/api/events?after=" + document.body.dataset.cursor);
  feed.onmessage = (e) => {
    const event = JSON.parse(e.data);
    if (live.dataset.live !== "inbox" && event.ticket !== live.dataset.live) return;
    if (!due) due = setTimeout(refresh, 150);
  };
  addEventListener("pagehide", () => feed.close());
};

document.addEventListener("DOMContentLoaded", () => {
  fresh(document);
  setInterval(tick, 500);
  follow();
});
