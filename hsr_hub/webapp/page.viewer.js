// Before and after, with zoom. Gradio runs this when the component appears.
const root = (window.gradio_config?.root ?? "") + "/gradio_api/file=";
const MAX_ZOOM = 8; // device pixels per pixel of the result
const MAX_TILES = 120; // of each side; the oldest ones are removed
const HOLD_MILLISECONDS = 300;

const start = (viewer) => {
  viewer.dataset.ready = "true";
  const data = viewer.dataset;
  const [width, height, tileSide] = [data.width, data.height, data.tile].map(Number);
  const stage = viewer.querySelector(".hsr-stage");
  const line = viewer.querySelector(".hsr-line");
  const figure = viewer.querySelector("output");
  const holdButton = viewer.querySelector("[data-hold]");
  const layers = [...viewer.querySelectorAll(".hsr-layer")].map((layer) => {
    const box = layer.firstElementChild;
    const image = box.querySelector("img");
    image.src = root + data[layer.dataset.side];
    return { layer, box, image, side: layer.dataset.side, tiles: new Map() };
  });
  const state = { fit: true, scale: 1, x: 0, y: 0, line: 0.5, original: false };

  const ratio = () => window.devicePixelRatio || 1;
  const fitScale = () =>
    Math.min(1 / ratio(), stage.clientWidth / width, stage.clientHeight / height);
  const snap = (value) => Math.round(value * ratio()) / ratio();
  const inside = (offset, length, room) =>
    snap(length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, offset)));

  // The overview is enough until its pixels are larger than the screen's.
  const showTiles = ({ box, image, side, tiles }) => {
    const needed = data.tiles && image.naturalWidth && state.scale * width * ratio() > image.naturalWidth;
    const side_ = tileSide * state.scale;
    const range = (offset, room, length) => [
      Math.max(0, Math.floor(-offset / side_)),
      Math.min(Math.ceil(length / tileSide) - 1, Math.floor((room - offset) / side_)),
    ];
    const [left, right] = range(state.x, stage.clientWidth, width);
    const [top, bottom] = range(state.y, stage.clientHeight, height);
    for (let row = top; needed && row <= bottom; row += 1) {
      for (let column = left; column <= right; column += 1) {
        const key = `${column}-${row}`;
        let tile = tiles.get(key);
        if (!tile) {
          tile = new Image();
          tile.alt = "";
          tile.draggable = false;
          tile.src = `${root}${data.tiles}/${side}-${key}.png`;
          box.append(tile);
        }
        tiles.delete(key);
        tiles.set(key, tile); // the newest
      }
    }
    for (const [key, tile] of tiles) {
      if (tiles.size > MAX_TILES) {
        tile.remove();
        tiles.delete(key);
        continue;
      }
      const [column, row] = key.split("-").map(Number);
      tile.hidden = !needed;
      tile.style.left = `${column * side_}px`;
      tile.style.top = `${row * side_}px`;
      tile.style.width = `${Math.min(tileSide, width - column * tileSide) * state.scale}px`;
      tile.style.height = `${Math.min(tileSide, height - row * tileSide) * state.scale}px`;
    }
  };

  const draw = () => {
    const room = [stage.clientWidth, stage.clientHeight];
    if (!room[0] || !room[1]) return;
    if (state.fit) state.scale = fitScale();
    const [w, h] = [width * state.scale, height * state.scale];
    state.x = inside(state.x, w, room[0]);
    state.y = inside(state.y, h, room[1]);
    const percent = state.original ? 100 : Math.round(1000 * state.line) / 10;
    for (const layer of layers) {
      Object.assign(layer.box.style, {
        left: `${state.x}px`,
        top: `${state.y}px`,
        width: `${w}px`,
        height: `${h}px`,
        imageRendering: state.scale * ratio() > 0.999 ? "pixelated" : "auto",
      });
      layer.layer.style.clipPath =
        layer.side === "before" ? `inset(0 ${100 - percent}% 0 0)` : `inset(0 0 0 ${percent}%)`;
      showTiles(layer);
    }
    line.style.left = `${percent}%`;
    const shown = Math.round(100 * state.line);
    line.setAttribute("aria-valuenow", shown);
    line.setAttribute("aria-valuetext", data.valueText.replace("{percent}", shown));
    viewer.classList.toggle("hsr-original", state.original);
    stage.classList.toggle("hsr-zoomed", w > room[0] + 1 || h > room[1] + 1);
    figure.textContent = `${Math.round(100 * state.scale * ratio())} %`;
    for (const button of viewer.querySelectorAll("[data-zoom]")) {
      const wanted = button.dataset.zoom;
      const on = state.fit
        ? wanted === "fit"
        : Math.abs(Number(wanted) - state.scale * ratio()) < 0.001;
      button.setAttribute("aria-pressed", String(on));
    }
    const middle = (offset, length, side) => Math.min(1, Math.max(0, (side / 2 - offset) / length));
    data.spot = `${middle(state.x, w, room[0])} ${middle(state.y, h, room[1])}`;
  };

  const zoom = (scale, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
    const smallest = fitScale();
    const wanted = Math.min(MAX_ZOOM / ratio(), Math.max(smallest, scale));
    const factor = wanted / state.scale;
    state.x = x - (x - state.x) * factor;
    state.y = y - (y - state.y) * factor;
    state.scale = wanted;
    state.fit = false;
    draw();
  };
  const pan = (x, y) => {
    state.x += x;
    state.y += y;
    draw();
  };
  const moveLine = (position) => {
    state.line = Math.min(1, Math.max(0, position));
    draw();
  };
  const showOriginal = (on) => {
    if (state.original === on) return;
    state.original = on;
    holdButton.setAttribute("aria-pressed", String(on));
    draw();
  };
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  // Drag the line, or the zoomed photo; two fingers zoom; press and hold shows the original.
  const fingers = new Map();
  let hold = null;
  let dragsLine = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    fingers.set(event.pointerId, place(event));
    stage.setPointerCapture(event.pointerId);
    clearTimeout(hold);
    const onLine = event.target.closest(".hsr-line") !== null;
    dragsLine = onLine || !stage.classList.contains("hsr-zoomed");
    if (fingers.size === 1 && !onLine) {
      hold = setTimeout(() => showOriginal(true), HOLD_MILLISECONDS);
    }
  });
  stage.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const now = place(event);
    const moved = Math.hypot(now[0] - last[0], now[1] - last[1]);
    if (hold !== null && fingers.size === 1 && moved < 4) return;
    clearTimeout(hold);
    hold = null;
    if (state.original) return;
    if (fingers.size === 2) {
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const distance = (at) => Math.max(1, Math.hypot(at[0] - other[0], at[1] - other[1]));
      zoom(state.scale * (distance(now) / distance(last)), other[0], other[1]);
    } else if (dragsLine) {
      moveLine(now[0] / stage.clientWidth);
    } else {
      pan(now[0] - last[0], now[1] - last[1]);
    }
    fingers.set(event.pointerId, now);
  });
  const release = (event) => {
    fingers.delete(event.pointerId);
    clearTimeout(hold);
    hold = null;
    showOriginal(false);
  };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoom(state.scale * Math.exp(-event.deltaY * 0.002), ...place(event));
    },
    { passive: false },
  );

  line.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05 };
    const ends = { Home: 0, End: 1 };
    const step = { ...steps, PageDown: -0.2, PageUp: 0.2 }[event.key];
    if (step === undefined && !(event.key in ends)) return;
    event.preventDefault();
    event.stopPropagation();
    moveLine(step === undefined ? ends[event.key] : Math.round((state.line + step) * 100) / 100);
  });
  stage.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key === "+" || event.key === "=") zoom(state.scale * 1.25);
    else if (event.key === "-") zoom(state.scale / 1.25);
    else if (event.key in moves && stage.classList.contains("hsr-zoomed")) pan(...moves[event.key]);
    else return;
    event.preventDefault();
  });

  viewer.querySelectorAll("[data-zoom]").forEach((button) => {
    button.addEventListener("click", () => {
      if (button.dataset.zoom === "fit") {
        state.fit = true;
        draw();
      } else {
        zoom(Number(button.dataset.zoom) / ratio());
      }
    });
  });
  const keys = [" ", "Enter"];
  holdButton.addEventListener("pointerdown", () => showOriginal(true));
  holdButton.addEventListener("keydown", (event) => {
    if (keys.includes(event.key)) showOriginal(true);
  });
  for (const end of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) {
    holdButton.addEventListener(end, () => showOriginal(false));
  }
  viewer.querySelector("[data-fullscreen]").addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else viewer.requestFullscreen();
  });

  new ResizeObserver(draw).observe(stage);
  layers.forEach(({ image }) => image.addEventListener("load", draw));
  draw();
};

const find = () => {
  const viewer = element.querySelector(".hsr-viewer:not([data-ready])");
  if (viewer) start(viewer);
};
find();
watch("value", find);
