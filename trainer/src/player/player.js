'use strict';
(function () {
  const NUMBERS = { line: 6, disc: 6, dot: 3, trail: 3 };
  const host = document.getElementById('clips');
  const slider = document.getElementById('time');
  const clock = document.getElementById('clock');
  const button = document.getElementById('play');
  const speed = document.getElementById('speed');
  const length = Math.max(...CLIPS.map((clip) => (clip.frames.length - 1) * clip.period));
  slider.max = length;
  // One camera for all: turned about the vertical, and raised; drag to turn it.
  const camera = { turn: -0.7, raise: 0.35 };
  let playing = !location.hash.startsWith('#t=');
  let now = playing ? 0 : Number(location.hash.slice(3));
  let last = null;
  let colors = {};

  const views = [];
  const groups = new Map();
  for (const clip of CLIPS) {
    if (!groups.has(clip.group)) {
      const heading = document.createElement('h2');
      heading.textContent = clip.group;
      const row = document.createElement('div');
      row.className = 'group';
      host.append(heading, row);
      groups.set(clip.group, row);
    }
    const figure = document.createElement('figure');
    const caption = document.createElement('figcaption');
    const name = document.createElement('b');
    name.textContent = clip.title;
    const outcome = document.createElement('span');
    outcome.textContent = clip.caption;
    caption.append(name, outcome);
    const canvas = document.createElement('canvas');
    const graph = document.createElement('canvas');
    const measured = document.createElement('span');
    figure.append(caption, canvas, graph);
    groups.get(clip.group).append(figure);
    views.push({ clip, canvas, graph, measured });
    if (!clip.flat) drag(canvas);
  }
  // Graphs of a group share their scale.
  for (const view of views) {
    view.most = Math.max(1e-9, ...views.filter((other) => other.clip.group === view.clip.group).map((other) => quantile(other.clip.measure)));
  }

  function digits(value) {
    const size = Math.abs(value);
    return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
  }

  function quantile(values) {
    const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
    return sorted.length ? sorted[Math.floor(0.98 * (sorted.length - 1))] : 1;
  }

  function drag(canvas) {
    let from = null;
    canvas.addEventListener('pointerdown', (event) => {
      from = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!from) return;
      camera.turn += 0.01 * (event.clientX - from[0]);
      camera.raise = Math.min(1.5, Math.max(-0.2, camera.raise + 0.01 * (event.clientY - from[1])));
      from = [event.clientX, event.clientY];
      draw();
    });
    canvas.addEventListener('pointerup', () => { from = null; });
  }

  // World (x forward, y left, z up) to pixels; the third number is the scale there.
  function projector(clip, width, height) {
    const half = 0.5 * Math.min(width, height);
    if (clip.flat) {
      const scale = (0.92 * half) / clip.extent;
      return (x, y, z) => [0.5 * width + scale * x, 0.5 * height - scale * z, scale];
    }
    const [c, s] = [Math.cos(camera.turn), Math.sin(camera.turn)];
    const [cr, sr] = [Math.cos(camera.raise), Math.sin(camera.raise)];
    const distance = 4 * clip.extent;
    return (x, y, z) => {
      const right = c * x - s * y, away = s * x + c * y;
      const up = cr * z + sr * away, depth = cr * away - sr * z;
      const scale = (2.9 * half) / Math.max(0.2 * clip.extent, distance + depth);
      return [0.5 * width + scale * right, 0.44 * height - scale * up, scale];
    };
  }

  function context(canvas, ratio) {
    const width = canvas.clientWidth, height = Math.round(width * ratio);
    const dense = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
      canvas.style.height = height + 'px';
    }
    const pen = canvas.getContext('2d');
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.lineCap = 'round';
    return [pen, width, height];
  }

  function path(pen, project, points, color, width) {
    pen.beginPath();
    points.forEach((point, index) => {
      const [x, y] = project(...point);
      if (index) pen.lineTo(x, y); else pen.moveTo(x, y);
    });
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.stroke();
  }

  function ground(pen, project, clip) {
    if (clip.flat) {
      path(pen, project, [[-clip.extent, 0, 0], [clip.extent, 0, 0]], colors.rule, 1);
      return;
    }
    const floor = -0.8 * clip.extent;
    for (let i = -4; i <= 4; i++) {
      const at = (i / 4) * clip.extent;
      path(pen, project, [[at, -clip.extent, floor], [at, clip.extent, floor]], colors.rule, 1);
      path(pen, project, [[-clip.extent, at, floor], [clip.extent, at, floor]], colors.rule, 1);
    }
  }

  function circle(centre, normal, radius) {
    const [a, b, c] = normal;
    const first = Math.abs(c) < 0.9 ? [b, -a, 0] : [0, c, -b];
    const size = Math.hypot(...first) || 1;
    const u = first.map((x) => x / size);
    const v = [b * u[2] - c * u[1], c * u[0] - a * u[2], a * u[1] - b * u[0]];
    return Array.from({ length: 25 }, (_, k) => {
      const angle = (k * Math.PI) / 12;
      return centre.map((x, i) => x + radius * (Math.cos(angle) * u[i] + Math.sin(angle) * v[i]));
    });
  }

  function scene(view) {
    const { clip } = view;
    const [pen, width, height] = context(view.canvas, clip.flat ? 0.75 : 0.9);
    const project = projector(clip, width, height);
    ground(pen, project, clip);
    const at = Math.min(clip.frames.length - 1, Math.round(now / clip.period));
    const numbers = clip.frames[at];
    let place = 0;
    for (const thing of clip.things) {
      const own = numbers.slice(place, place + NUMBERS[thing.kind]);
      const color = colors[thing.color];
      if (thing.kind === 'line') {
        path(pen, project, [own.slice(0, 3), own.slice(3)], color, thing.width);
      } else if (thing.kind === 'disc') {
        path(pen, project, circle(own.slice(0, 3), own.slice(3), thing.radius), color, 1.5);
      } else if (thing.kind === 'dot') {
        const [x, y] = project(...own);
        pen.beginPath();
        pen.arc(x, y, thing.radius, 0, 2 * Math.PI);
        pen.fillStyle = color;
        pen.fill();
      } else {
        const from = Math.max(0, at - Math.round(1 / clip.period));
        const points = [];
        for (let k = from; k <= at; k++) points.push(clip.frames[k].slice(place, place + 3));
        pen.globalAlpha = 0.5;
        path(pen, project, points, color, 2);
        pen.globalAlpha = 1;
        if (!clip.flat) {
          // Its shadow, so that depth can be told.
          const [x, y, z] = own;
          path(pen, project, [[x, y, z], [x, y, -0.8 * clip.extent]], colors.rule, 1);
        }
      }
      place += NUMBERS[thing.kind];
    }
    if (at === clip.frames.length - 1 && now > at * clip.period + clip.period) {
      pen.fillStyle = colors.faint;
      pen.font = '13px system-ui, sans-serif';
      pen.fillText('ended', 8, 18);
    }
  }

  function chart(view) {
    const { clip } = view;
    const [pen, width, height] = context(view.graph, 0.28);
    const inner = height - 18;
    const x = (k) => ((k * clip.period) / length) * width;
    const y = (value) => inner - (Math.min(value, view.most) / view.most) * (inner - 4);
    const at = Math.min(clip.frames.length - 1, Math.round(now / clip.period));
    pen.strokeStyle = colors.rule;
    pen.beginPath(); pen.moveTo(0, inner); pen.lineTo(width, inner); pen.stroke();
    pen.beginPath();
    clip.measure.forEach((value, k) => { if (k) pen.lineTo(x(k), y(value)); else pen.moveTo(x(k), y(value)); });
    pen.strokeStyle = colors.ink; pen.lineWidth = 1.5; pen.stroke();
    pen.beginPath(); pen.arc(x(at), y(clip.measure[at]), 4, 0, 2 * Math.PI); pen.fillStyle = colors.accent; pen.fill();
    pen.fillStyle = colors.faint; pen.font = '12px system-ui, sans-serif';
    pen.fillText(clip.measured + ': ' + digits(clip.measure[at]), 0, height - 3);
    const scale = digits(view.most);
    pen.fillText(scale, width - pen.measureText(scale).width, 12);
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['ink', 'faint', 'goal', 'accent', 'push', 'rule']) colors[name] = style.getPropertyValue('--' + name).trim();
    for (const view of views) { scene(view); chart(view); }
    slider.value = now;
    clock.textContent = now.toFixed(2) + ' s';
    button.textContent = playing ? 'Pause' : 'Play';
  }

  function tick(time) {
    if (playing && last !== null) {
      now += (Number(speed.value) * (time - last)) / 1000;
      if (now > length + 1) now = 0;
    }
    last = time;
    if (playing) draw();
    requestAnimationFrame(tick);
  }
  button.addEventListener('click', () => { playing = !playing; draw(); });
  slider.addEventListener('input', () => { playing = false; now = Number(slider.value); draw(); });
  addEventListener('resize', draw);
  draw();
  document.body.dataset.clips = String(views.length);
  requestAnimationFrame(tick);
})();
