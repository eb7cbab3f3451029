// Images with captions that can be clicked. Gradio runs this when the component appears.
const root = (window.gradio_config?.root ?? "") + "/gradio_api/file=";
const load = () => {
  element.querySelectorAll("img[data-file]:not([src])").forEach((image) => {
    image.src = root + image.dataset.file;
  });
};
load();
watch("value", load);
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-index]");
  if (button) trigger("select", { index: Number(button.dataset.index) });
});
