import { createServer } from "node:http";

const server = createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(`<h1>Hello ${url.searchParams.get("name") ?? "world"} from Node.js</h1>`);
});
server.listen(process.env.PORT ?? 8080, "127.0.0.1");
