"""How well the texts of a page can be read, as an expression of JavaScript."""

# The texts whose contrast with their ground is below 4.5:1 (WCAG 2.2, 1.4.3).
CONTRAST = """(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.map((each) => {
      const part = each / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let at = node; at !== null; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3
      && each.data.trim());
    if (!own || node.offsetParent === null || node.tagName === "OPTION") continue;
    const one = light(parts(getComputedStyle(node).color).slice(0, 3));
    const other = light(ground(node));
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const what = `${node.tagName}.${node.className} ${node.textContent.slice(0, 20)}`;
    if (ratio < 4.5) found.push(`${what} ${ratio}`);
  }
  return found;
})()"""
