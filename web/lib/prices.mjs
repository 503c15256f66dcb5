// Pure: the server's answer to a question for prices.

/** `{nodes: [{title, buzz, error}], total}` in whole Buzz; `total` is null where a node's price is not known. */
export function pricesIn(answer) {
  const list = Array.isArray(answer?.nodes) ? answer.nodes : [];
  const nodes = list.map((node) => ({
    node: String(node.node ?? ""),
    title: String(node.title || node.node || ""),
    buzz: Number.isFinite(node.cost) ? node.cost : null,
    error: typeof node.error === "string" ? node.error : "",
    notes: (Array.isArray(node.notes) ? node.notes : []).map(String),
  }));
  for (const node of nodes) if (node.buzz === null && !node.error) node.error = "–";
  const isWhole = nodes.every((node) => node.buzz !== null);
  return { nodes, total: isWhole ? nodes.reduce((sum, node) => sum + node.buzz, 0) : null };
}
