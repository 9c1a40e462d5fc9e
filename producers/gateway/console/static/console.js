// Times in the reader's zone, charts, and the event stream of a page. Pages work without it.
"use strict";

const compact = new Intl.NumberFormat(undefined, { notation: "compact" });
const minutes = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const seconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const charts = new WeakMap();
const SHOWN_S = 600;
const MIN_SHOWN_S = 60;
const HEIGHT_PX = 144;
const COLOURS = ["#2f8f57", "#d1495b", "#0b7fc7", "#b7791f"];
const AGAIN_MS = 2000;
const NOTICE_MS = 10_000;
const loadedAt = performance.now();

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = zone.format(new Date(time.dateTime));
  }
}

function timesOf(marks) {
  const format = marks[1] - marks[0] < 60 ? seconds : minutes;
  return marks.map((at) => format.format(at * 1000));
}

function shownTimes(first, last) {
  return [Math.max(last - SHOWN_S, Math.min(first, last - MIN_SHOWN_S)), last];
}

function drawCharts(root) {
  for (const place of root.querySelectorAll(".chart[data-points]")) {
    const points = JSON.parse(place.dataset.points);
    const size = { width: place.clientWidth, height: HEIGHT_PX };
    let chart = charts.get(place);
    if (chart === undefined || chart.series.length !== points.names.length + 1) {
      chart?.destroy();
      const ink = () => getComputedStyle(place).color;
      const line = { stroke: "#8884", width: 1 };
      const axis = (space, values) => ({ stroke: ink, grid: line, ticks: line, space, values: (_, found) => values(found) });
      const axes = [axis(100, timesOf), axis(30, (values) => values.map((value) => compact.format(value)))];
      const series = points.names.map((name, index) => ({ label: name, stroke: COLOURS[index], width: 2 }));
      const x = { range: ({ data: [times] }) => shownTimes(times[0], times.at(-1)) };
      const y = { range: (_, from, to) => [0, Math.max(to * 1.1, 1)] };
      chart = new uPlot({ ...size, scales: { x, y }, axes, legend: { live: false }, series: [{}, ...series] }, points.values, place);
      charts.set(place, chart);
    } else {
      chart.setSize(size);
      chart.setData(points.values);
    }
  }
}

function refresh() {
  showTimes(document);
  drawCharts(document);
}

function showConnection(isThere) {
  document.getElementById("connection").hidden = isThere;
}

// The extension connects again by itself, but for the first connection.
function onStreamError(event) {
  showConnection(false);
  if (event.detail.connection === undefined) {
    setTimeout(() => document.querySelector("[hx-sse\\:connect]")?.dispatchEvent(new Event("connect")), AGAIN_MS);
  }
}

document.addEventListener("DOMContentLoaded", refresh);
document.addEventListener("htmx:after:swap", () => {
  refresh();
  if (performance.now() - loadedAt > NOTICE_MS) {  // what was done is no news, and may no longer hold
    document.querySelector(".notice")?.remove();
  }
});
document.addEventListener("htmx:sse:after:connection", () => {
  showConnection(true);
  if (document.hidden) {  // since before the extension listened, which ends the streams of hidden tabs
    setTimeout(() => document.dispatchEvent(new Event("visibilitychange")));
  }
});
for (const name of ["htmx:sse:error", "htmx:response:error", "htmx:error"]) {
  document.addEventListener(name, onStreamError);
}
document.addEventListener("reload", () => setTimeout(() => location.reload(), AGAIN_MS));
addEventListener("resize", () => drawCharts(document));
