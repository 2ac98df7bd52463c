(() => {
  const root = this.closest(".vq-studio");
  if (!root || root.dataset.vqListening) return;
  root.dataset.vqListening = "yes";
  const writing = (element) => element && element.matches && element.matches(".vq-words textarea, .vq-words input");
  const mark = (element, unapplied) =>
    element.closest(".vq-prompt, .vq-negative").classList.toggle("vq-unapplied", unapplied);
  const beat = () => (root.querySelector(".vq-beat") || { dataset: {} }).dataset.beat;
  let waiting = 0;

  /* A click that the kernel does not answer within six seconds is said to be lost. */
  const expectAnswer = () => {
    const before = beat();
    clearTimeout(waiting);
    waiting = setTimeout(() => root.classList.toggle("vq-deaf", beat() === before), 6000);
  };
  root.addEventListener("click", (event) => {
    const button = event.target.closest(".vq-actions button");
    if (button && !button.disabled) expectAnswer();
  });
  new MutationObserver(() => root.classList.remove("vq-deaf"))
    .observe(root.querySelector(".vq-beat").parentElement, { childList: true, subtree: true });

  /* An earlier run that is clicked is shown above, perhaps out of sight. */
  root.addEventListener("click", (event) => {
    const stage = event.target.closest(".vq-history .vq-thumb button") && root.querySelector(".vq-stage");
    if (stage && stage.getBoundingClientRect().bottom < 200) stage.scrollIntoView({ block: "nearest" });
  });

  let applied = "";
  root.addEventListener("focusin", (event) => {
    if (writing(event.target)) applied = event.target.value;
  });
  root.addEventListener("input", (event) => {
    if (writing(event.target)) mark(event.target, event.target.value !== applied);
  });
  root.addEventListener("focusout", (event) => {
    if (writing(event.target)) mark(event.target, false);
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey || (event.shiftKey && writing(event.target)))) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.target.matches("textarea, input")) {
      event.target.dispatchEvent(new Event("change", { bubbles: true }));
      if (writing(event.target)) {
        applied = event.target.value;
        mark(event.target, false);
      }
    }
    const start = root.querySelector("button.vq-start");
    if (start && !start.disabled) start.click();
  }, true);

  /* A control has the tooltip of its label. */
  const explain = (event) => {
    const control = event.target.closest("select, input, textarea, .noUi-target, .slider");
    if (!control || control.title) return;
    const own = control.closest(".jupyter-widgets");
    const field = control.closest(".vq-field");
    const label = own && own.querySelector(":scope > label");
    const span = field && field.querySelector(".vq-label span[title]");
    control.title = (label && label.title) || (span && span.title) || "";
  };
  root.addEventListener("mouseover", explain);
  root.addEventListener("focusin", explain);

  /* A picture is described by its caption. */
  root.addEventListener("load", (event) => {
    if (event.target.matches && event.target.matches("img.vq-picture")) {
      event.target.alt = (root.querySelector(".vq-caption") || {}).innerText || "The picture";
    }
  }, true);
})();
