// Times in the reader's zone, charts, and a reload when the console has changed. Pages work without it.
"use strict";

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const charts = new WeakMap();
const SHOWN_S = 600;
const COLOURS = ["#2f8f57", "#d1495b", "#0b7fc7", "#b7791f"];

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = zone.format(new Date(time.dateTime));
  }
}

function drawCharts(root) {
  for (const place of root.querySelectorAll(".chart[data-points]")) {
    const points = JSON.parse(place.dataset.points);
    const size = { width: place.clientWidth, height: place.clientHeight - 32 };
    let chart = charts.get(place);
    if (chart === undefined || chart.series.length !== points.names.length + 1) {
      chart?.destroy();
      const ink = getComputedStyle(place).color;
      const axis = { stroke: ink, grid: { stroke: "#8884", width: 1 }, ticks: { stroke: "#8884", width: 1 } };
      const series = points.names.map((name, index) => ({ label: name, stroke: COLOURS[index], width: 2 }));
      const scales = { x: { range: (_, from, to) => [to - SHOWN_S, to] } };
      chart = new uPlot({ ...size, scales, axes: [axis, axis], series: [{}, ...series] }, points.values, place);
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

document.addEventListener("DOMContentLoaded", refresh);
document.addEventListener("htmx:after:swap", refresh);
document.addEventListener("reload", () => location.reload());
addEventListener("resize", () => drawCharts(document));
