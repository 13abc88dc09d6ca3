// Runs before the page is painted, so that a chosen theme or language does not flash in the other one.
{
  const chosen = (name) => {
    try {
      return localStorage.getItem(`takt.${name}`);
    } catch {
      return null; // storage may be forbidden: the system's choice then stands
    }
  };
  const theme = chosen("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  const language = chosen("language") ?? navigator.language;
  document.documentElement.lang = language.startsWith("ko") ? "ko" : "en";
}
