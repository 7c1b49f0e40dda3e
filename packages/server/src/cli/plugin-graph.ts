import type { PluginRequirement } from "@ctrd/core/plugin";
import { uriOf } from "./find-plugin.ts";
import type { PluginView } from "./plugin-views.ts";

const colors: Readonly<Record<PluginView["state"], string | undefined>> = {
  ok: "palegreen",
  skipped: "lightgrey",
  disabled: "lightgrey",
  failed: "salmon",
  unknown: undefined,
};

/** Which plugin requires which, in the language of Graphviz. Optional requirements are dashed. */
export function printGraph(views: readonly PluginView[]): string {
  const lines = ["digraph plugins {", "  rankdir=LR;", "  node [shape=box, style=filled, fillcolor=white];"];
  for (const view of views) {
    const { source, state } = view;
    const label = source === undefined ? uriOf(view) : `${uriOf(view)}\n${source.name}@${source.version}`;
    const color = colors[state] === undefined ? "" : `, fillcolor=${colors[state]}`;
    lines.push(`  ${quote(uriOf(view))} [label=${quote(label)}${color}];`);
  }
  for (const view of views) {
    for (const [required, isOptional] of edgesOf(view, views)) {
      lines.push(`  ${quote(uriOf(view))} -> ${quote(required)}${isOptional ? " [style=dashed]" : ""};`);
    }
  }
  lines.push("}");
  return `${lines.join("\n")}\n`;
}

/** The plugins that `view` requires, and whether it could do without. */
function edgesOf(view: PluginView, views: readonly PluginView[]): Map<string, boolean> {
  const edges = new Map<string, boolean>();
  for (const requirement of requirementsOfView(view)) {
    for (const other of views) {
      if (other === view || !isWanted(other, requirement)) continue;
      edges.set(uriOf(other), requirement.optional && (edges.get(uriOf(other)) ?? true));
    }
  }
  return edges;
}

/** What a plugin requires; of a daemon that only tells types, whole types. */
export function requirementsOfView(view: PluginView): readonly PluginRequirement[] {
  return view.requirements ?? view.requires.map((type) => ({ type, optional: false }));
}

function isWanted(view: PluginView, { type, id }: PluginRequirement): boolean {
  return view.type === type && (id === undefined || view.id === id);
}

/** A quoted DOT string. */
function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}
