/**
 * The screen of a terminal as a picture: text with the escape sequences of `tmux capture-pane -e` as SVG.
 */

const cell = { width: 8.4, height: 18 };
const margin = 14;
const foreground = "#d8dee9";
const colors = ["#4c566a", "#bf616a", "#a3be8c", "#ebcb8b", "#81a1c1", "#b48ead", "#88c0d0", "#e5e9f0"];

/** How a piece of text looks. */
interface Look {
  color: string;
  bold: boolean;
}

/** An SVG document of the lines of a screen; empty lines at its end are left out. */
export function screenPicture(screen: string): string {
  const lines = screen.trimEnd().split("\n");
  const rows = lines.map((line, row) => {
    const y = margin + (row + 0.75) * cell.height;
    return `<text x="${margin}" y="${y.toFixed(1)}" xml:space="preserve">${spans(line)}</text>`;
  });
  const columns = Math.max(...lines.map((line) => line.replaceAll(escapes, "").length));
  const width = Math.ceil(columns * cell.width + 2 * margin);
  const height = Math.ceil(lines.length * cell.height + 2 * margin);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<rect width="${width}" height="${height}" rx="8" fill="#2e3440"/>
<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="${foreground}">
${rows.join("\n")}
</g>
</svg>
`;
}

/** Escape sequences of colours and weights, which are all that tmux gives. */
const escapes = new RegExp(`${String.fromCodePoint(27)}\\[([0-9;]*)m`, "g");

function spans(line: string): string {
  let look: Look = { color: foreground, bold: false };
  let text = "";
  let at = 0;
  for (const match of line.matchAll(escapes)) {
    text += span(line.slice(at, match.index), look);
    look = changed(look, (match[1] ?? "").split(";").map(Number));
    at = match.index + match[0].length;
  }
  return text + span(line.slice(at), look);
}

function span(text: string, { color, bold }: Look): string {
  if (text === "") return "";
  const safe = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  if (color === foreground && !bold) return safe;
  return `<tspan fill="${color}"${bold ? ' font-weight="bold"' : ""}>${safe}</tspan>`;
}

function changed(look: Look, codes: readonly number[]): Look {
  const next = { ...look };
  for (const code of codes) {
    if (code === 0) Object.assign(next, { color: foreground, bold: false });
    else if (code === 1) next.bold = true;
    else if (code === 22) next.bold = false;
    else if (code === 39) next.color = foreground;
    else if (code >= 30 && code <= 37) next.color = colors[code - 30] ?? foreground;
    else if (code >= 90 && code <= 97) next.color = colors[code - 90] ?? foreground;
  }
  return next;
}
