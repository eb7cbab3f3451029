() => {
  // Let visitors paste anywhere. Gradio needs a click on the clipboard's icon first.
  document.addEventListener("paste", (event) => {
    const image = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
    const input = document.querySelector("#photo input[type=file]");
    if (!image || !input || event.target.closest?.("input, textarea")) return;
    const files = new DataTransfer();
    files.items.add(image);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  // Hide the broken image that a browser shows for a bad file until the server refuses it.
  const hideBroken = (event) => {
    if (event.target.matches?.("#photo img")) event.target.style.visibility = "hidden";
  };
  document.addEventListener("error", hideBroken, true);

  // Gradio's slider has no keyboard control. These keys move its handle by simulated mouse events.
  const move = (handle, pixels) => {
    const box = handle.getBoundingClientRect();
    const at = (x) => ({ clientX: x, clientY: box.top + 5, bubbles: true, view: window });
    const middle = box.left + box.width / 2;
    handle.dispatchEvent(new MouseEvent("mousedown", at(middle)));
    window.dispatchEvent(new MouseEvent("mousemove", at(middle + pixels)));
    window.dispatchEvent(new MouseEvent("mouseup", at(middle + pixels)));
  };
  const position = (handle) => {
    const [box, frame] = [handle, handle.parentElement].map((e) => e.getBoundingClientRect());
    return Math.round((100 * (box.left + box.width / 2 - frame.left)) / (frame.width || 1));
  };
  const onKey = (event) => {
    const steps = { ArrowLeft: -0.05, ArrowRight: 0.05, Home: -1, End: 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    // The slider has no size until both images are loaded. A move would end at its edge.
    const loaded = (image) => image.complete && image.naturalWidth;
    if (![...document.querySelectorAll("#slider img")].every(loaded)) return;
    const handle = event.currentTarget;
    move(handle, steps[event.key] * handle.parentElement.getBoundingClientRect().width);
    requestAnimationFrame(() => handle.setAttribute("aria-valuenow", position(handle)));
  };
  // Add names for screen readers where Gradio has none.
  const addNames = () => {
    document.querySelectorAll("#slider img").forEach((image, i) => {
      image.alt = i ? "After: the sharpened photo" : "Before: your photo, enlarged the plain way";
    });
    const handle = document.querySelector('#slider [data-testid="slider"]:not([tabindex])');
    if (handle) {
      handle.tabIndex = 0;
      handle.setAttribute("role", "slider");
      handle.setAttribute("aria-label", "Line between before and after");
      handle.setAttribute("aria-valuenow", "50");
      handle.addEventListener("keydown", onKey);
    }
    for (const group of document.querySelectorAll("fieldset:not([aria-label])")) {
      const name = group.querySelector('[data-testid="block-info"]')?.textContent.trim();
      if (name) group.setAttribute("aria-label", name);
    }
    for (const toast of document.querySelectorAll('[data-testid="toast-body"]')) {
      const title = toast.querySelector(".toast-title");
      const large = /maximum allowed size/.test(toast.textContent);
      // Only once, because the change triggers this observer again.
      if (large && title && title.textContent !== "Too large") title.textContent = "Too large";
    }
    const names = [
      "a web photo of a cat", "an old photo", "a cup of coffee", "Eileen Collins",
      "Chelsea the cat",
    ];
    document.querySelectorAll("#examples .gallery-item").forEach((button, i) => {
      button.setAttribute("aria-label", `Example: ${names[i]}`);
    });
  };
  // The form is locked while it works, and the preview or the result is in view.
  let stage = null;
  const followStage = () => {
    const working = document.querySelector("#cancel-button") !== null;
    document.querySelectorAll("#options").forEach((options) => {
      if (options.inert !== working) options.inert = working;
    });
    const shown = document.querySelector("#preview, #slider");
    const id = shown?.id ?? null;
    if (id === stage) return;
    stage = id;
    const box = shown?.getBoundingClientRect();
    if (box && (box.top < 0 || box.top > innerHeight / 2)) {
      shown.scrollIntoView({ block: "start", behavior: "instant" });
    }
  };
  new MutationObserver(followStage).observe(document.body, { childList: true, subtree: true });
  new MutationObserver(addNames).observe(document.body, { childList: true, subtree: true });
  addNames();
};
