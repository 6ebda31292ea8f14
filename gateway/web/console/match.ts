// Finds entries by a few letters.

/** How well letters match a text, in their order; null where they do not. */
export function score(text: string, letters: string): number | null {
  const [low, wanted] = [text.toLowerCase(), letters.toLowerCase().trim()];
  if (!wanted) return 0;
  const whole = low.indexOf(wanted);
  if (whole >= 0) return 100 - whole;
  let at = -1;
  let sum = 0;
  for (const letter of wanted) {
    const next = low.indexOf(letter, at + 1);
    if (next < 0) return null;
    sum += next === at + 1 ? 3 : 1;
    at = next;
  }
  return sum;
}
