(function () {
  "use strict";
  var config = { displayModeBar: false, responsive: true, showTips: false };
  var look = document.querySelector("script.plot-look").textContent;
  var plots = [];
  document.querySelectorAll("script.plot-data").forEach(function (source) {
    var place = source.previousElementSibling;
    var drawn = JSON.parse(source.textContent);
    drawn.layout.template = JSON.parse(look);
    window.Plotly.newPlot(place, drawn.data, drawn.layout, config);
    plots.push(place);
  });
  function fit(width) {
    plots.forEach(function (place) {
      window.Plotly.relayout(place, { width: width ? Math.min(width, place.clientWidth) : null, autosize: !width });
    });
  }
  // paper is narrower than the screen that the figures were drawn for
  window.addEventListener("beforeprint", function () { fit(640); });
  window.addEventListener("afterprint", function () { fit(0); });
  document.documentElement.setAttribute("data-plots-drawn", String(plots.length));
})();
