// What pages can do better with a script. Everything works without it, and no key ever executes anything.
(() => {
  "use strict";
  const root = document.documentElement;

  // ---- Theme: system, light, dark, in a cookie that the server reads, so that nothing flashes

  const themes = ["system", "light", "dark"];
  const themeButton = document.querySelector("[data-theme-button]");
  let theme = root.dataset.theme || "system";

  const showTheme = () => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const word = themeButton.querySelector("[data-theme-word]");
    word.textContent = theme[0].toUpperCase() + theme.slice(1);
  };

  const nextTheme = () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    const path = document.body.dataset.root || "/";
    document.cookie = `powertools_theme=${theme}; path=${path}; max-age=31536000; samesite=strict`;
    showTheme();
  };

  if (themeButton) {
    themeButton.hidden = false;
    themeButton.addEventListener("click", nextTheme);
    showTheme();
  }

  // ---- Copying; where the page is not secure, the browser's old way

  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea");
    field.value = text;
    field.readOnly = true;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  };

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button.dataset.copy));
  }
})();
