/* A mask is drawn on the picture; each stroke goes to the kernel, as a PNG, by the hidden text box `.vq-wire`. */
(() => {
  const root = this.closest(".vq-studio");
  if (!root || root.dataset.vqDraws) return;
  root.dataset.vqDraws = "yes";
  const COLOUR = "rgb(255, 48, 96)", MOST_UNDO = 20;
  const before = new WeakMap(); /* of a canvas: what it held before each stroke */
  let tool = "brush";

  const wire = () => root.querySelector(".vq-wire textarea");
  const width = (canvas) => {
    const share = +root.querySelector(".vq-tools input").value / 100;
    return Math.max(1, share * Math.min(canvas.width, canvas.height));
  };
  const whole = (canvas) => [0, 0, canvas.width, canvas.height];
  const pen = (canvas) => canvas.getContext("2d", { willReadFrequently: true });

  const send = (canvas) => {
    wire().value = canvas.toDataURL("image/png");
    wire().dispatchEvent(new Event("change", { bubbles: true }));
  };
  const remember = (canvas) => {
    const states = before.get(canvas);
    states.push(pen(canvas).getImageData(...whole(canvas)));
    if (states.length > MOST_UNDO) states.shift();
  };

  /* What Python shows as marked becomes a canvas; what was drawn since then is in the text box. */
  const prepare = () => {
    const shown = root.querySelector("div.vq-tint");
    if (!shown || !wire()) return;
    const canvas = document.createElement("canvas"), image = new Image();
    [canvas.width, canvas.height] = shown.dataset.size.split(" ");
    canvas.className = "vq-tint";
    before.set(canvas, []);
    image.onload = () => pen(canvas).drawImage(image, ...whole(canvas));
    image.src = wire().value || shown.style.backgroundImage.slice(5, -2);
    shown.replaceWith(canvas);
  };
  prepare();
  new MutationObserver(prepare).observe(root, { childList: true, subtree: true });

  const place = (canvas, event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height,
    ];
  };
  root.addEventListener("pointerdown", (event) => {
    const canvas = event.target;
    if (!before.has(canvas) || event.button) return;
    event.preventDefault();
    remember(canvas);
    const draw = pen(canvas), from = place(canvas, event), kind = tool;
    let last = from;
    Object.assign(draw, { lineCap: "round", lineJoin: "round", lineWidth: width(canvas) });
    Object.assign(draw, { strokeStyle: COLOUR, fillStyle: COLOUR });
    draw.globalCompositeOperation = kind === "eraser" ? "destination-out" : "source-over";
    const move = (event) => {
      const to = place(canvas, event);
      if (kind === "rectangle") {
        draw.putImageData(before.get(canvas).at(-1), 0, 0);
        const [x, y, right, bottom] = [...from, ...to].map(Math.round);
        draw.fillRect(x, y, right - x, bottom - y);
      } else {
        draw.beginPath();
        draw.moveTo(...last);
        draw.lineTo(to[0] + 0.01, to[1]); /* a line of no length is not drawn */
        draw.stroke();
        last = to;
      }
    };
    const end = () => {
      canvas.onpointermove = canvas.onpointerup = canvas.onpointercancel = null;
      send(canvas);
    };
    canvas.setPointerCapture(event.pointerId);
    Object.assign(canvas, { onpointermove: move, onpointerup: end, onpointercancel: end });
    move(event);
  });

  /* The pointer is a ring of the brush's width. */
  root.addEventListener("pointerover", (event) => {
    const canvas = event.target;
    if (!before.has(canvas)) return;
    const shown = (width(canvas) * canvas.getBoundingClientRect().width) / canvas.width;
    const side = Math.min(120, Math.max(6, Math.round(shown))), middle = side / 2;
    const ring = (r, colour) =>
      `<circle cx="${middle}" cy="${middle}" r="${middle - r}" fill="none" stroke="${colour}"/>`;
    const svg =
      `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}">` +
      `${ring(1, "black")}${ring(2, "white")}</svg>`;
    const address = `url("data:image/svg+xml,${encodeURIComponent(svg)}") ${middle} ${middle}`;
    canvas.style.cursor = tool === "rectangle" ? "crosshair" : `${address}, crosshair`;
  });

  root.addEventListener("click", (event) => {
    const button = event.target.closest(".vq-tools button"), canvas = root.querySelector("canvas.vq-tint");
    if (!button || !canvas) return;
    if (button.dataset.tool) {
      tool = button.dataset.tool;
      for (const each of button.parentElement.querySelectorAll("[data-tool]")) {
        each.setAttribute("aria-pressed", each === button);
      }
      return;
    }
    const states = before.get(canvas);
    if (button.name === "clear") {
      remember(canvas);
      pen(canvas).clearRect(...whole(canvas));
    } else if (states.length) {
      pen(canvas).putImageData(states.pop(), 0, 0);
    } else {
      return;
    }
    send(canvas);
  });
})();
