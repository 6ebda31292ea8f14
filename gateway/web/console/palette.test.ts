import { expect, it } from "vitest";
import { score } from "./match";

it("matches letters in their order, whole words first", () => {
  expect(score("Query sandbox", "sand")! > score("Keys and tenants", "sand")!).toBe(true);
  expect(score("Topology", "tpl")).toBeGreaterThan(0);
  expect(score("Topology", "x")).toBeNull();
  expect(score("Topology", " ")).toBe(0);
});
