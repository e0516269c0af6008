// A reviewer at the guard's page, in a real browser: told where by the environment, and asked line by line
// over standard input. Each line is JSON, [what, ...arguments], and is answered by one line of JSON.
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");
const { join } = require("node:path");

const { chromium } = createRequire(join(process.env.FOLDER, "package.json"))("playwright-core");
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update",
];

async function main() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS });
  const context = await browser.newContext({ javaScriptEnabled: process.env.SCRIPTS === "1" });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => { complaints.push("dialog"); dialog.dismiss(); });

  const words = {
    go: (path) => page.goto(process.env.URL + path),
    // A page of another site with nothing but a link.
    elsewhere: async (link) => {
      const html = `<a href="${link}">there</a>`;
      await page.route("http://elsewhere.test/", (route) => route.fulfill({ body: html, contentType: "text/html" }));
      await page.goto("http://elsewhere.test/");
      await page.getByRole("link", { name: "there" }).click();
    },
    fill: (label, text) => page.getByLabel(label).fill(text),
    press: (name) => page.getByRole("button", { name }).click(),
    follow: (name) => page.getByRole("link", { name }).click(),
    waitFor: (text) => page.getByText(text).first().waitFor(),
    path: () => new URL(page.url()).pathname,
    text: (selector) => page.locator(selector).allInnerTexts(),
    size: (width, height) => page.setViewportSize({ width, height }),
    widths: async () => page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]),
    colour: (selector) =>
      page.locator(selector).first().evaluate((found) => getComputedStyle(found).color),
    unlabelled: () => page.evaluate(() =>
      [...document.querySelectorAll("input:not([type=hidden]), textarea, select")]
        .filter((field) => field.labels.length === 0).map((field) => field.outerHTML)),
    keys: (key) => page.keyboard.press(key),
    focused: () => page.evaluate(() => document.activeElement.innerText),
    complaints: () => complaints,
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const [what, ...given] = JSON.parse(line);
    try {
      const said = await words[what](...given);
      const plain = ["string", "object"].includes(typeof said) && !(said && said.request);
      console.log(JSON.stringify({ said: plain ? said : null }));
    } catch (error) {
      console.log(JSON.stringify({ error: String(error) }));
    }
  }
  await browser.close();
}

main();
