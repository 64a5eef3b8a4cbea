const express = require("express");
const serverlessExpress = require("@codegenie/serverless-express");

const app = express();
app.get("/", (request, response) => {
  response.send(`<h1>Hello ${request.query.name || "world"} from Express</h1>`);
});

exports.handler = serverlessExpress({ app });
