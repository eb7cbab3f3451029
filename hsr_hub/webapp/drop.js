() => {
  // Files that are dropped or pasted anywhere: one goes to the tab for one photo, several go to the
  // tab for several photos.
  const TABS = { photo: 0, "batch-files": 1 };
  const MESSAGE_MILLISECONDS = 4000;

  const overlay = () => document.querySelector(".hsr-drop");
  const maxFiles = () => Number(overlay()?.dataset.maxFiles ?? Infinity);
  const working = () => document.querySelector("#batch-cancel-button") !== null;

  const appears = (selector) =>
    new Promise((resolve) => {
      const found = document.querySelector(selector);
      if (found) return resolve(found);
      const observer = new MutationObserver(() => {
        const now = document.querySelector(selector);
        if (!now) return;
        observer.disconnect();
        resolve(now);
      });
      observer.observe(document.body, { childList: true, subtree: true });
    });

  // The server would refuse them all, in words for programs.
  const refuse = () => {
    overlay()?.classList.remove("hsr-busy");
    overlay()?.classList.add("hsr-shown", "hsr-many");
    setTimeout(() => overlay()?.classList.remove("hsr-shown", "hsr-many"), MESSAGE_MILLISECONDS);
  };
  // Browsers do not know the type of some images, such as HEIC. Gradio would refuse these, and files
  // of other types, in words for programs. The server says what they are.
  const asImages = (input) => {
    const list = new DataTransfer();
    for (const file of input.files) {
      const known = file.type.startsWith("image/");
      list.items.add(known ? file : new File([file], file.name, { type: "image/unknown" }));
    }
    input.files = list.files;
  };
  const choose = (event) => {
    const input = event.target;
    if (input.matches?.("#photo input[type=file]")) asImages(input);
    if (!input.matches?.("#batch-files input[type=file]")) return;
    if (input.files.length <= maxFiles()) return;
    event.stopImmediatePropagation();
    input.value = "";
    refuse();
  };
  addEventListener("change", choose, true);

  const give = async (files) => {
    if (!files.length) return;
    if (files.length > maxFiles()) return refuse();
    const target = files.length > 1 ? "batch-files" : "photo";
    if (target === "batch-files" && working()) return;
    document.querySelectorAll('.tab-container [role="tab"]')[TABS[target]]?.click();
    const input = await appears(`#${target} input[type=file]`);
    const list = new DataTransfer();
    for (const file of files) list.items.add(file);
    input.files = list.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // A folder that is dropped stands for the images in it. Browsers do not know the type of some.
  const mayBeImage = (file) => !file.type || file.type.startsWith("image/");
  const read = async (entry) => {
    if (entry.isFile) {
      return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    }
    const reader = entry.createReader();
    const files = [];
    while (files.length <= maxFiles()) {
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!part.length) break;
      for (const child of part) {
        if (!child.name.startsWith(".")) files.push(...(await read(child)));
      }
    }
    return files;
  };
  const dropped = async (transfer) => {
    const files = [...transfer.files];
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.some((entry) => entry.isDirectory)) return files;
    return (await Promise.all(entries.map(read))).flat().filter(mayBeImage);
  };

  // An image of the page that is dragged counts as a file too.
  let ours = false;
  addEventListener("dragstart", () => { ours = true; }, true);
  addEventListener("dragend", () => { ours = false; }, true);
  const hasFiles = (event) => {
    return !ours && [...(event.dataTransfer?.types ?? [])].includes("Files");
  };
  const show = (shown) => {
    overlay()?.classList.remove("hsr-many");
    overlay()?.classList.toggle("hsr-shown", shown);
    overlay()?.classList.toggle("hsr-busy", working());
  };
  // Elements below the pointer change all the time. The drag has left when no event comes.
  let last = null;
  const over = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    show(true);
    clearTimeout(last);
    last = setTimeout(() => show(false), 700);
  };
  const drop = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    clearTimeout(last);
    show(false);
    dropped(event.dataTransfer).then(give);
  };
  const leave = (event) => {
    if (!hasFiles(event)) return;
    event.stopPropagation();
    if (event.relatedTarget === null) show(false);
  };
  // Before Gradio's own areas for files, which would take them for the tab that is open.
  addEventListener("dragenter", over, true);
  addEventListener("dragover", over, true);
  addEventListener("dragleave", leave, true);
  addEventListener("drop", drop, true);

  const paste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || event.target.closest?.("input, textarea")) return;
    event.preventDefault();
    event.stopPropagation();
    give(files);
  };
  addEventListener("paste", paste, true);

  // A larger before and after of a row.
  const split = (viewer, percent) => {
    viewer.querySelectorAll("img")[1].style.clipPath = `inset(0 0 0 ${percent}%)`;
  };
  const compare = (pair) => {
    const viewer = document.querySelector(".hsr-pair-view");
    const range = viewer.querySelector("input");
    const [before, after] = viewer.querySelectorAll("img");
    [before.src, after.src] = [...pair.querySelectorAll("img")].map((image) => image.src);
    viewer.querySelector(".hsr-pair-view-name").textContent = pair.dataset.name;
    range.value = 50;
    split(viewer, 50);
    viewer.showModal();
    range.focus();
  };
  document.addEventListener("click", (event) => {
    const pair = event.target.closest?.("button.hsr-pair");
    if (pair) compare(pair);
    const outside = event.target.matches?.(".hsr-pair-view");
    if (outside || event.target.closest?.(".hsr-pair-view-close")) {
      document.querySelector(".hsr-pair-view").close();
    }
  });
  document.addEventListener("input", (event) => {
    const viewer = event.target.closest?.(".hsr-pair-view");
    if (viewer) split(viewer, event.target.value);
  });

  // Gradio opens its view of the API by a button of its footer only, which is hidden.
  document.addEventListener("click", (event) => {
    const button = document.querySelector("footer button.show-api");
    if (!button || !event.target.closest?.('a[href="?view=api"]')) return;
    event.preventDefault();
    button.click();
  });

  // While photos are made, the list of files and the options are locked.
  const lock = () => {
    for (const place of document.querySelectorAll("#batch-files, #batch-options")) {
      if (place.inert !== working()) place.inert = working();
    }
  };
  new MutationObserver(lock).observe(document.body, { childList: true, subtree: true });
};
