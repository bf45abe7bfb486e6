"use strict";
// Draws the page from the facts that are in it. Nothing is loaded. What is large (20,000 tables and sites with a year
// each) stays in arrays: only the rows in sight are elements.
(async () => {
  const $ = (id) => document.getElementById(id);
  const PAGE_ROWS = 25, PRINTED_ROWS = 500, CHOSEN = 5, MOST_CHOSEN = 8;
  const COLOURS = ["#2a78c8", "#c8571b", "#2b9a66", "#a349a4", "#b58900", "#d33c6f", "#138a96", "#7a6fd0"];
  const number = new Intl.NumberFormat("en");
  const count = (value) => (value === null || value === undefined ? "–" : number.format(value));
  const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);

  if (typeof DecompressionStream === "undefined") {
    $("broken").textContent = "This browser is too old to read the page's data: take one of 2023 or newer.";
    return;
  }
  const text = atob($("data").textContent), packed = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) packed[index] = text.charCodeAt(index);
  const data = await new Response(
    new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))
  ).json();

  // ---- elements

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "class") made.className = value;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  function svg(name, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function shareBar(share) {
    const inner = element("i");
    inner.style.width = `${Math.min(100, 100 * (share || 0))}%`;
    const cell = document.createDocumentFragment();
    cell.append(element("span", { class: "share", "aria-hidden": "true" }, inner), percent(share));
    return cell;
  }

  // ---- days and states

  const DAY = 86400000;
  const firstDay = Date.parse(`${data.first}T00:00:00Z`);
  const dayName = (index) => new Date(firstDay + index * DAY).toISOString().slice(0, 10);
  const moment = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
  const states = data.states.map(([code, sign, name, meaning]) => ({
    code, sign, name, meaning, style: `s-${code === "." ? "n" : code}`,
  }));
  const rankOf = Object.fromEntries(states.map((state, rank) => [state.code, rank]));
  const NONE = 0, OPEN = rankOf.o;

  // How many days of each different line have each state; what the lines say is read where it is needed.
  const lines = data.lines;
  const rankOfCharacter = new Uint8Array(128);
  states.forEach((state, rank) => { rankOfCharacter[state.code.charCodeAt(0)] = rank; });

  function readRuns(line, take) {
    const text = lines[line];
    for (let index = 0, start = 0, length = 0; index < text.length; index++) {
      const character = text.charCodeAt(index), digit = character - 48;
      if (digit >= 0 && digit <= 9) {
        length = 10 * length + digit;
      } else {
        length = length || 1;
        take(start, length, rankOfCharacter[character]);
        start += length;
        length = 0;
      }
    }
  }

  const counts = lines.map((_, line) => {
    const days = new Uint16Array(states.length);
    readRuns(line, (start, length, rank) => { days[rank] += length; });
    return days;
  });

  function gravest(chosen) {
    const worst = new Uint8Array(data.days);
    for (const line of chosen) {
      readRuns(line, (start, length, rank) => {
        for (let day = start; day < start + length; day++) if (rank > worst[day]) worst[day] = rank;
      });
    }
    return worst;
  }

  // The first day of which anything is known, but a month at least.
  const known = gravest(lines.keys()).findIndex((rank) => rank !== NONE);
  const from = Math.min(data.days - 31, known < 0 ? data.days : known);

  const described = (line) =>
    states.map((state, rank) => [state, counts[line][rank]]).reverse()
      .filter(([state, days]) => days && state.code !== ".")
      .map(([state, days]) => `${days} ${state.name}`).join(", ") || "nothing known";

  // ---- tables: sorted by their heads, a page of rows at a time

  const tables = [];

  function makeTable(host, { caption, columns, empty, order, descending = false }) {
    const self = { rows: [], page: 0, size: PAGE_ROWS, order, descending };
    const body = element("tbody");
    const heads = columns.map((column, index) => {
      const head = element("th", { scope: "col", class: column.num ? "num" : "" });
      if (column.value) {
        head.append(element("button", { type: "button", onclick: () => sortBy(index) }, column.title));
      } else {
        head.append(column.title);
      }
      return head;
    });
    const label = element("span", { "aria-live": "polite" });
    const back = element("button", { type: "button", onclick: () => turn(-1) }, "Previous");
    const next = element("button", { type: "button", onclick: () => turn(1) }, "Next");
    const pager = element("div", { class: "pager", role: "group", "aria-label": `Pages of: ${caption}` }, back, next, label);
    const table = element(
      "table", { class: "data" }, element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...heads)), body
    );
    const nothing = element("p", { class: "hint" }, empty);
    const frame = element("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, table);
    $(host).append(frame, pager, nothing);

    function sortBy(index) {
      self.descending = self.order === index ? !self.descending : Boolean(columns[index].num || columns[index].descends);
      self.order = index;
      sort();
      self.page = 0;
      draw();
    }

    function sort() {
      heads.forEach((head, index) => {
        if (index === self.order) head.setAttribute("aria-sort", self.descending ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      if (self.order === undefined) return;
      const { value } = columns[self.order], way = self.descending ? -1 : 1;
      // Each different text is compared once; what has no value stands last.
      const different = [...new Set(self.rows.map(value))].filter((key) => key !== null && key !== undefined);
      different.sort((a, b) => (typeof a === "string" ? collator.compare(a, b) : a - b));
      const places = new Map(different.map((key, place) => [key, way * place]));
      const keyed = self.rows.map((row) => [places.get(value(row)) ?? Infinity, row]);
      keyed.sort(([a], [b]) => (a === b ? 0 : a < b ? -1 : 1));
      self.rows = keyed.map(([, row]) => row);
    }

    function turn(step) {
      self.page += step;
      draw();
    }

    function draw() {
      const pages = Math.max(1, Math.ceil(self.rows.length / self.size));
      self.page = Math.min(Math.max(0, self.page), pages - 1);
      const start = self.page * self.size, shown = self.rows.slice(start, start + self.size);
      body.replaceChildren(...shown.map((row) => element("tr", {}, ...columns.map((column, index) => {
        const content = column.show ? column.show(row) : column.value(row);
        const title = column.kind === "site" ? content : null;
        const kind = [column.num ? "num" : "", column.kind || ""].join(" ").trim();
        return element(index ? "td" : "th", index ? { class: kind, title } : { scope: "row", class: kind, title }, content ?? "–");
      }))));
      frame.hidden = !self.rows.length;
      nothing.hidden = Boolean(self.rows.length);
      pager.hidden = pages === 1;
      back.disabled = self.page === 0;
      next.disabled = self.page === pages - 1;
      label.textContent = `${count(start + 1)} to ${count(start + shown.length)} of ${count(self.rows.length)}`;
    }

    self.update = (rows) => {
      self.rows = rows.slice();
      self.page = 0;
      sort();
      draw();
    };
    self.draw = draw;
    tables.push(self);
    return self;
  }

  const collator = new Intl.Collator("en", { numeric: true });
  const siteLabel = data.sites.map(([id, name]) => (name ? `${name} (${id})` : `Site ${id}`));
  const siteText = data.sites.map(([id, name]) => `${id} ${name}`.toLowerCase());

  // ---- the filter

  const S = data.streams;
  const streams = S.line.map((_, index) => index);
  const hasSegments = data.segments.some((name) => name);
  const options = (select, pairs) => select.append(...pairs.map(([value, text]) => element("option", { value }, text)));
  options($("f-table"), [["", "all tables"], ...data.tables.map((name, index) => [index, name]).sort((a, b) => collator.compare(a[1], b[1]))]);
  options($("f-segment"), data.segments.map((name, index) => [index, name || "all visits"]));
  options($("f-state"), [["", "any"], ...states.map((state, rank) => [rank, `some ${state.name}`]).slice(OPEN - 3).reverse()]);
  $("l-segment").hidden = !hasSegments;
  const filter = { sites: null, table: null, segment: null, state: null, stream: null };

  function readFilter() {
    const text = $("f-site").value.trim().toLowerCase();
    // A number alone is that site, where there is one.
    const exact = text ? data.sites.findIndex(([id]) => id === text) : -1;
    filter.sites = text
      ? new Set(exact >= 0 ? [exact] : siteText.flatMap((name, index) => (name.includes(text) ? [index] : [])))
      : null;
    filter.table = $("f-table").value === "" ? null : Number($("f-table").value);
    filter.segment = hasSegments ? Number($("f-segment").value) : null;
    filter.state = $("f-state").value === "" ? null : Number($("f-state").value);
    filter.stream = null;
  }

  const hasSite = (site) => !filter.sites || filter.sites.has(site);
  const matches = (stream) =>
    hasSite(S.site[stream]) &&
    (filter.table === null || S.table[stream] === filter.table) &&
    (filter.segment === null || S.segment[stream] === filter.segment) &&
    (filter.state === null || counts[S.line[stream]][filter.state] > 0);

  // ---- the state of everything

  function drawTiles() {
    const days = new Float64Array(states.length);
    const isDaily = data.tables.map((name) => !/_(week|month|year)$/.test(name));
    const configured = streams.filter((stream) => S.configured[stream]);
    let last = null;
    for (const stream of configured) {
      const own = counts[S.line[stream]];
      for (let rank = 0; rank < states.length; rank++) days[rank] += own[rank];
      if (S.last[stream] !== null && (last === null || S.last[stream] > last)) last = S.last[stream];
    }
    const missing = configured.filter((stream) => S.missing[stream]).length;
    const behind = configured.filter((stream) => isDaily[S.table[stream]] && S.last[stream] !== null && S.last[stream] < last - 1).length;
    const tile = (value, text, isBad) =>
      element("div", { class: `tile${isBad && value ? " bad" : ""}` }, element("b", {}, typeof value === "number" ? count(value) : value), element("span", {}, text));
    $("tiles").replaceChildren(
      tile(last === null ? "–" : dayName(last), "newest day"),
      tile(behind, "tables and sites behind", true),
      tile(streams.length, "tables and sites"),
      tile(missing, "of them not complete", true),
      ...["f", "q", "m", "p"].map((code) => tile(days[rankOf[code]], `days ${states[rankOf[code]].name === "quality" ? "with other numbers" : states[rankOf[code]].name}`, code !== "p"))
    );
  }

  // ---- the calendar

  function monthTable(worst, title) {
    const body = element("tbody"), seen = new Set();
    let row = null, month = "";
    const start = new Date(firstDay + from * DAY);
    const begin = Math.max(0, Math.round((Date.UTC(start.getUTCFullYear(), start.getUTCMonth(), 1) - firstDay) / DAY));
    for (let index = begin; index < data.days; index++) {
      const name = dayName(index);
      if (name.slice(0, 7) !== month) {
        month = name.slice(0, 7);
        row = element("tr", {}, element("th", { scope: "row" }, month));
        const before = Number(name.slice(8)) - 1;
        for (let day = 0; day < before; day++) row.append(element("td"));
        body.append(row);
      }
      const state = states[worst[index]];
      seen.add(worst[index]);
      row.append(element(
        "td", { class: state.style, title: `${name}: ${state.name}` },
        element("span", { "aria-hidden": "true" }, state.code === "w" || state.code === "." ? "" : state.sign),
        element("span", { class: "vh" }, state.name)
      ));
    }
    const head = element("tr", {}, element("th", { scope: "col" }, "Month"));
    for (let day = 1; day <= 31; day++) head.append(element("th", { scope: "col" }, String(day)));
    const legend = element("ul", { class: "legend" });
    for (const [rank, state] of [...states.entries()].reverse()) {
      if (seen.has(rank) && state.code !== ".") {
        legend.append(element("li", {}, element("i", { class: state.style, "aria-hidden": "true" }, state.code === "w" ? "" : state.sign), `${state.name}: ${state.meaning}`));
      }
    }
    const table = element("table", { class: "months" }, element("caption", {}, title), element("thead", {}, head), body);
    return [table, legend];
  }

  function streamName(stream) {
    const segment = data.segments[S.segment[stream]];
    return `${data.tables[S.table[stream]]}, ${siteLabel[S.site[stream]]}${segment ? `, segment ${segment}` : ""}`;
  }

  function drawMonths(chosen) {
    if (filter.stream !== null) {
      const all = element("button", { type: "button", onclick: () => { filter.stream = null; drawCalendar(); } }, "Show all of them");
      const line = S.line[filter.stream];
      $("months").replaceChildren(...monthTable(gravest([line]), `${streamName(filter.stream)}: ${described(line)}`), all);
    } else {
      const some = new Set(chosen.map((stream) => S.line[stream]));
      $("months").replaceChildren(...monthTable(
        gravest(some), `The gravest state of each day, of ${count(chosen.length)} tables and sites`
      ));
    }
  }

  function strip(stream) {
    const line = S.line[stream], rects = [];
    readRuns(line, (start, length, rank) => {
      if (rank !== NONE) rects.push(svg("rect", { x: start, y: 0, width: length, height: 10, class: states[rank].style }));
    });
    return svg("svg", {
      class: "strip", viewBox: `${from} 0 ${data.days - from} 10`, preserveAspectRatio: "none", role: "img",
      "aria-label": described(line),
    }, ...rects);
  }

  function chooseButton(stream) {
    const button = element("button", { type: "button", class: "link", "aria-pressed": String(filter.stream === stream) }, data.tables[S.table[stream]]);
    button.addEventListener("click", () => {
      filter.stream = filter.stream === stream ? null : stream;
      drawMonths(shown);
      streamTable.draw();
      for (const again of $("streams").querySelectorAll("button.link[aria-pressed=true]")) again.focus({ preventScroll: true });
    });
    return button;
  }

  const streamTable = makeTable("streams", {
    caption: "Each table and site; its name shows its days above",
    empty: "No table and site is like that.",
    order: 0,
    columns: [
      { title: "Table", value: (s) => data.tables[S.table[s]] + (S.configured[s] ? "" : " (no longer configured)"), show: chooseButton },
      { title: "Site", value: (s) => siteLabel[S.site[s]], kind: "site" },
      ...(hasSegments ? [{ title: "Segment", value: (s) => data.segments[S.segment[s]] || "all visits" }] : []),
      { title: `${dayName(from)} to ${dayName(data.days - 1)}`, show: strip, kind: "year" },
      { title: "Newest", value: (s) => S.last[s], show: (s) => (S.last[s] === null ? null : dayName(S.last[s])) },
      { title: "Missing", num: true, value: (s) => S.missing[s], show: (s) => count(S.missing[s]) },
      { title: "Rows", num: true, value: (s) => S.rows[s], show: (s) => count(S.rows[s]) },
      { title: "Logged (UTC)", value: (s) => S.logged[s], show: (s) => (S.logged[s] === null ? null : moment(S.logged[s])) },
    ],
  });

  let shown = streams;
  function drawCalendar() {
    shown = streams.filter(matches);
    drawMonths(shown);
    streamTable.update(shown);
  }

  // ---- charts

  const charts = [];

  function chart(host, title, options, values) {
    const frame = element("div", { class: "chart", role: "img", "aria-label": title });
    $(host).replaceChildren(frame);
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const size = { width: Math.max(260, frame.clientWidth), height: 240 };
    const plot = new uPlot(
      { ...size, ...options, axes: options.axes.map((own) => ({ ...axis, ...own })) }, values, frame
    );
    charts.push({ frame, plot });
  }

  function forget(host) {
    for (let index = charts.length - 1; index >= 0; index--) {
      if ($(host).contains(charts[index].frame)) charts.splice(index, 1)[0].plot.destroy();
    }
  }

  const V = data.visits;
  const visitRows = V ? V.sites.map((site, index) => {
    const line = V.counts[index];
    const sum = (from, to) => line.slice(from, to).reduce((total, value) => total + (value || 0), 0);
    const recent = sum(data.days - data.recent), before = sum(data.days - 2 * data.recent, data.days - data.recent);
    let last = null;
    line.forEach((value, day) => { if (value !== null) last = day; });
    return { site, line, recent, before, last, change: before ? recent / before - 1 : null };
  }) : [];
  visitRows.sort((one, other) => other.recent - one.recent);
  let chosen = null;

  function chosenSites() {
    const some = visitRows.filter((row) => hasSite(row.site));
    return chosen ? some.filter((row) => chosen.has(row.site)) : some.slice(0, CHOSEN);
  }

  function drawVisits() {
    forget("visits-chart");
    if (!V) return;
    const some = visitRows.filter((row) => hasSite(row.site)), picked = chosenSites();
    if (!some.length) {
      $("visits-chart").replaceChildren();
      return;
    }
    const days = Array.from({ length: data.days }, (_, day) => firstDay / 1000 + day * 86400);
    const total = new Array(data.days).fill(null);
    for (const { line } of some) line.forEach((value, day) => { if (value !== null) total[day] = (total[day] || 0) + value; });
    let begin = total.findIndex((value) => value !== null);
    begin = begin < 0 ? 0 : begin;
    const series = some.length > 1 ? [{ label: `All ${count(some.length)} sites`, stroke: "#7d8894", width: 2, dash: [6, 4] }] : [];
    const values = some.length > 1 ? [total] : [];
    picked.forEach((row, index) => {
      series.push({ label: siteLabel[row.site], stroke: COLOURS[index % COLOURS.length], width: 2 });
      values.push(row.line);
    });
    chart("visits-chart", `Line chart: visits by day of ${some.length > 1 ? "all sites and of " : ""}${picked.map((row) => siteLabel[row.site]).join(", ") || "no single site"}. The table below has the numbers.`, {
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      series: [{ label: "Day", value: (_, seconds) => (seconds === null ? "–" : new Date(seconds * 1000).toISOString().slice(0, 10)) },
        ...series.map((each) => ({ ...each, value: (_, value) => count(value) }))],
      axes: [{ space: 90, values: (_, ticks) => ticks.map((seconds) => new Date(seconds * 1000).toISOString().slice(0, 10)) }, { size: 64, values: (_, ticks) => ticks.map(count) }],
      scales: { y: { range: (_, low, high) => [0, high ? high * 1.08 : 1] } },
    }, [days.slice(begin), ...values.map((line) => line.slice(begin))]);
  }

  const siteTable = V ? makeTable("sites", {
    caption: `Sites by their visits in the last ${data.recent} days (table ${V.table}); tick those to see in the chart, at most ${MOST_CHOSEN}`,
    empty: "No site is like that.",
    order: 1, descending: true,
    columns: [
      { title: "Site", value: (row) => siteLabel[row.site], kind: "site" },
      { title: `Visits, ${data.recent} days`, num: true, value: (row) => row.recent, show: (row) => count(row.recent) },
      { title: `${data.recent} days before`, num: true, value: (row) => row.before, show: (row) => count(row.before) },
      { title: "Change", num: true, value: (row) => row.change, show: (row) => (row.change === null ? "–" : `${row.change > 0 ? "+" : ""}${percent(row.change)}`) },
      { title: "Newest day", value: (row) => row.last, show: (row) => (row.last === null ? null : dayName(row.last)) },
      { title: "In the chart", show: chartBox },
    ],
  }) : null;
  if (!V) $("sites").append(element("p", { class: "hint" }, "No table has visits by day: the connector syncs neither visits_summary nor acquisition_channel_type."));

  function chartBox(row) {
    const box = element("input", { type: "checkbox", "aria-label": `${siteLabel[row.site]} in the chart` });
    box.checked = chosenSites().includes(row);
    box.addEventListener("change", () => {
      const now = new Set(chosenSites().map((each) => each.site));
      if (box.checked && now.size >= MOST_CHOSEN) box.checked = false;
      else if (box.checked) now.add(row.site);
      else now.delete(row.site);
      chosen = now;
      drawVisits();
    });
    return box;
  }

  // ---- channels and Others

  const channelTable = data.channels ? makeTable("channels-table", {
    caption: `Visits by channel in the last ${data.recent} days`,
    empty: `No visits in the last ${data.recent} days.`,
    order: 1, descending: true,
    columns: [
      { title: "Channel", value: (row) => row.name },
      { title: "Visits", num: true, value: (row) => row.visits, show: (row) => count(row.visits) },
      { title: "Share", descends: true, value: (row) => row.share, show: (row) => shareBar(row.share) },
      { title: "Conversions", num: true, value: (row) => row.conversions, show: (row) => count(row.conversions) },
    ],
  }) : null;
  if (!data.channels) $("channels-table").append(element("p", { class: "hint" }, "The connector does not sync the table acquisition_channel_type."));

  function drawChannels() {
    if (!channelTable) return;
    const found = new Map();
    let all = 0;
    for (const [site, name, visits, conversions] of data.channels) {
      if (!hasSite(site)) continue;
      const row = found.get(name) || { name, visits: 0, conversions: 0, share: 0 };
      row.visits += visits;
      row.conversions += conversions;
      all += visits;
      found.set(name, row);
    }
    for (const row of found.values()) row.share = all ? row.visits / all : null;
    channelTable.update([...found.values()].filter((row) => row.visits || row.conversions));
  }

  const othersTable = makeTable("others-table", {
    caption: `What Matomo's row limits put into "Others" in the last ${data.recent} days, by table and site`,
    empty: `Nothing stands in "Others" in the last ${data.recent} days.`,
    order: 2, descending: true,
    columns: [
      { title: "Table", value: (row) => data.tables[row[0]] },
      { title: "Site", value: (row) => (row[1] === null ? `all ${count(row[4])} sites` : siteLabel[row[1]]), kind: "site" },
      { title: "Share", descends: true, value: (row) => row[2] / row[3], show: (row) => shareBar(row[2] / row[3]) },
      { title: "In Others", num: true, value: (row) => row[2], show: (row) => count(row[2]) },
      { title: "In all", num: true, value: (row) => row[3], show: (row) => count(row[3]) },
    ],
  });

  function drawOthers() {
    const some = data.others.filter(([table, site]) => hasSite(site) && (filter.table === null || table === filter.table));
    const whole = new Map();
    for (const [table, , others, total] of some) {
      const row = whole.get(table) || [table, null, 0, 0, 0];
      row[2] += others;
      row[3] += total;
      row[4] += 1;
      whole.set(table, row);
    }
    const sums = [...whole.values()].filter((row) => row[2] && row[4] > 1);
    othersTable.update([...sums, ...some.filter((row) => row[2])]);
  }

  // ---- runs

  const runTable = makeTable("runs-table", {
    caption: `The newest ${count(data.runs.length)} runs`,
    empty: "No run has ended yet.",
    order: 0, descending: true,
    columns: [
      { title: "Started (UTC)", value: (run) => run.started, show: (run) => run.started.slice(0, 16).replace("T", " ") },
      { title: "Mode", value: (run) => run.mode },
      { title: "Status", value: (run) => run.status },
      { title: "Duration", num: true, value: (run) => run.seconds, show: (run) => duration(run.seconds) },
      { title: "Calls", num: true, value: (run) => run.matomo_calls, show: (run) => count(run.matomo_calls) },
      ...["written", "unchanged", "pending", "failed", "remaining", "rows"].map((name) => ({
        title: name[0].toUpperCase() + name.slice(1), num: true, value: (run) => run[name], show: (run) => count(run[name]),
      })),
      { title: "Error", value: (run) => run.error || null, kind: "text" },
    ],
  });

  function duration(seconds) {
    const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
    if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
    return minutes ? `${minutes} min ${String(whole % 60).padStart(2, "0")} s` : `${seconds < 10 ? seconds.toFixed(1) : whole} s`;
  }

  function drawRuns() {
    forget("runs-chart");
    const runs = [...data.runs].reverse();
    if (runs.length < 2) return;
    const label = (index) => (runs[index] ? runs[index].started.slice(0, 16).replace("T", " ") : "");
    chart("runs-chart", "Bar chart: duration of the runs, with the calls to Matomo as points. The table below has the numbers.", {
      scales: {
        x: { time: false, range: () => [-0.7, runs.length - 0.3] },
        seconds: { range: (_, low, high) => [0, (high || 1) * 1.08] },
        calls: { range: (_, low, high) => [0, (high || 1) * 1.08] },
      },
      series: [
        { label: "Run", value: (_, index) => (index === null ? "–" : label(index)) },
        { label: "Duration", scale: "seconds", stroke: COLOURS[0], fill: `${COLOURS[0]}88`, width: 1, paths: uPlot.paths.bars({ size: [0.6, 40] }), points: { show: false }, value: (_, value) => (value === null ? "–" : duration(value)) },
        { label: "Calls", scale: "calls", stroke: COLOURS[1], width: 2, paths: () => null, points: { show: true, size: 6, fill: COLOURS[1] }, value: (_, value) => count(value) },
      ],
      axes: [
        { space: 110, incrs: [1, 2, 5, 10, 20, 50, 100], values: (_, ticks) => ticks.map((index) => (Number.isInteger(index) ? label(index).slice(5) : "")) },
        { scale: "seconds", size: 70, values: (_, ticks) => ticks.map((value) => duration(value)) },
        { scale: "calls", side: 1, size: 60, grid: { show: false }, values: (_, ticks) => ticks.map(count) },
      ],
    }, [runs.map((_, index) => index), runs.map((run) => run.seconds), runs.map((run) => run.matomo_calls)]);
  }

  // ---- quality checks

  const words = (name) => (name ? name.replaceAll("_", " ") : null);
  let checkTable = null;
  if (data.checks) {
    makeTable("checks-counts", {
      caption: "How many checks there were, by what came of them",
      empty: "No checks were made.",
      columns: [
        { title: "Check", value: (row) => words(row.check_name) },
        { title: "Verdict", value: (row) => row.verdict },
        { title: "Reason", value: (row) => words(row.reason) },
        { title: "Checks", num: true, value: (row) => row.checks, show: (row) => count(row.checks) },
        { title: "Last (UTC)", value: (row) => row.last_checked.slice(0, 16).replace("T", " ") },
      ],
    }).update(data.checks.counts);
    const some = data.checks.found;
    const all = data.checks.counts.reduce((sum, row) => sum + (row.verdict === "ok" ? 0 : row.checks), 0);
    checkTable = makeTable("checks-table", {
      caption: `Checks that found other numbers than Matomo's${all > some.length ? `, ${count(some.length)} of ${count(all)}` : ""}`,
      empty: "No check found other numbers than Matomo's.",
      columns: [
        { title: "Day", value: (row) => row.date },
        { title: "Table", value: (row) => row.table_name },
        { title: "Site", value: (row) => siteLabel[siteIndex.get(row.website_id)] || row.website_id, kind: "site" },
        { title: "Check", value: (row) => words(row.check_name) },
        { title: "Verdict", value: (row) => row.verdict },
        { title: "Reason", value: (row) => words(row.reason) },
        { title: "Matomo", num: true, value: (row) => row.expected, show: (row) => count(row.expected) },
        { title: "Table has", num: true, value: (row) => row.found, show: (row) => count(row.found) },
        { title: "Detail", value: (row) => row.detail, kind: "text" },
      ],
    });
  } else {
    $("checks-table").append(element("p", { class: "hint" }, "No checks were made yet: matomo-fn reconcile makes them."));
  }
  const siteIndex = new Map(data.sites.map(([id], index) => [id, index]));

  function drawChecks() {
    if (!checkTable) return;
    checkTable.update(data.checks.found.filter((row) =>
      (!siteIndex.has(row.website_id) ? !filter.sites : hasSite(siteIndex.get(row.website_id))) &&
      (filter.table === null || row.table_name === data.tables[filter.table])));
  }

  // ---- all of it

  function drawAll() {
    readFilter();
    drawCalendar();
    drawVisits();
    if (siteTable) siteTable.update(visitRows.filter((row) => hasSite(row.site)));
    drawChannels();
    drawOthers();
    drawChecks();
    $("f-count").textContent = `${count(shown.length)} of ${count(streams.length)} tables and sites`;
  }

  let waiting = 0;
  $("filter").addEventListener("input", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAll);
  });
  $("filter").addEventListener("reset", () => requestAnimationFrame(drawAll));
  $("filter").addEventListener("submit", (event) => event.preventDefault());

  const redraw = () => { drawVisits(); drawRuns(); };
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", redraw);
  addEventListener("beforeprint", () => { for (const table of tables) { table.size = PRINTED_ROWS; table.draw(); } });
  addEventListener("afterprint", () => { for (const table of tables) { table.size = PAGE_ROWS; table.draw(); } });
  let width = document.documentElement.clientWidth;
  new ResizeObserver(() => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    for (const { frame, plot } of charts) plot.setSize({ width: Math.max(260, frame.clientWidth), height: 240 });
  }).observe(document.documentElement);

  drawTiles();
  runTable.update(data.runs);
  drawAll();
  drawRuns();
  $("broken").hidden = true;
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
