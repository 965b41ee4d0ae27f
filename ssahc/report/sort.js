// Sorts a table by the column whose heading is clicked, or chosen by the keyboard.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text);
    return Number.isNaN(number) ? (text === "–" ? -Infinity : text) : number;
  };
  headings.forEach((heading, column) => {
    if (heading.hasAttribute("data-fixed")) return;
    const sort = () => {
      const up = heading.getAttribute("aria-sort") === "descending";
      const rows = [...table.tBodies[0].rows];
      const texts = column === 0;
      rows.sort((a, b) => {
        const [x, y] = [a, b].map((row) =>
          texts ? row.cells[0].textContent.trim() : value(row, column));
        const order = x < y ? -1 : x > y ? 1 : 0;
        return up ? order : -order;
      });
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    };
    heading.tabIndex = 0;
    heading.title = "sort by this column";
    heading.addEventListener("click", sort);
    heading.addEventListener("keydown", (event) => {
      if (event.key === "Enter") sort();
    });
  });
}
