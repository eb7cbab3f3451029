() => {
  // Hide the broken image that a browser shows for a bad file until the server refuses it.
  const hideBroken = (event) => {
    if (event.target.matches?.("#photo img")) event.target.style.visibility = "hidden";
  };
  document.addEventListener("error", hideBroken, true);

  // Gradio gives each radio button a name of its own, so that browsers do not connect them.
  document.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
    const step = steps[event.key];
    const radio = event.target;
    if (!step || !radio.matches?.("fieldset input[type=radio]")) return;
    event.preventDefault();
    const all = [...radio.closest("fieldset").querySelectorAll("input[type=radio]:enabled")];
    const next = all[(all.indexOf(radio) + step + all.length) % all.length];
    next.focus();
    next.click();
  });

  // The bar is cleared before the server answers.
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#cancel-button")) return;
    for (const place of document.querySelectorAll("#progress-bar, #preview")) {
      place.style.visibility = "hidden";
    }
  });

  // Add names for screen readers where Gradio has none.
  const addNames = () => {
    const texts = document.querySelector(".hsr-drop")?.dataset;
    // Gradio names the browser's language, also if the texts are English.
    const page = document.documentElement;
    if (texts && page.lang !== texts.language) page.lang = texts.language;
    const limits = document.querySelector(".hsr-limits");
    const tooLarge = limits ? JSON.parse(limits.dataset.tooLarge) : [];
    for (const label of document.querySelectorAll("#options .scales label")) {
      const disabled = tooLarge.includes(label.textContent.trim());
      const radio = label.querySelector("input");
      if (radio.disabled !== disabled) radio.disabled = disabled;
      if (label.title !== (disabled ? limits.textContent : "")) {
        label.title = disabled ? limits.textContent : "";
      }
    }
    for (const group of document.querySelectorAll("fieldset:not([aria-label])")) {
      const name = group.querySelector('[data-testid="block-info"]')?.textContent.trim();
      if (name) group.setAttribute("aria-label", name);
    }
    for (const toast of document.querySelectorAll('[data-testid="toast-body"]')) {
      const title = toast.querySelector(".toast-title");
      const large = /maximum allowed size/.test(toast.textContent);
      const text = texts?.tooLarge;
      // Only once, because the change triggers this observer again.
      if (large && title && text && title.textContent !== text) title.textContent = text;
    }
    const names = JSON.parse(texts?.examples ?? "[]");
    document.querySelectorAll("#examples .gallery-item").forEach((button, i) => {
      if (names[i]) button.setAttribute("aria-label", names[i]);
    });
  };
  // The form is locked while it works, and the preview or the result is in view.
  let stage = null;
  const followStage = () => {
    const working = document.querySelector("#cancel-button") !== null;
    document.querySelectorAll("#options").forEach((options) => {
      if (options.inert !== working) options.inert = working;
    });
    const shown = document.querySelector("#preview, #result");
    const id = shown?.id ?? null;
    if (id === stage) return;
    stage = id;
    // Twice, because the layout is done after the first frame.
    const show = () => {
      const box = shown.getBoundingClientRect();
      if (shown.isConnected && (box.top < 0 || box.top > innerHeight / 3)) {
        shown.scrollIntoView({ block: "start", behavior: "instant" });
      }
    };
    if (shown) requestAnimationFrame(() => requestAnimationFrame(show));
  };
  new MutationObserver(followStage).observe(document.body, { childList: true, subtree: true });
  new MutationObserver(addNames).observe(document.body, { childList: true, subtree: true });
  addNames();
};
