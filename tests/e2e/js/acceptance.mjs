// The AWS SDK for JavaScript v3 as its users use it: everything but the endpoint comes from the environment, and so does that.
import {
  CreateAliasCommand, CreateFunctionCommand, DeleteFunctionCommand, GetFunctionCommand, InvokeCommand, LambdaClient,
  PublishVersionCommand, ResourceNotFoundException, UpdateFunctionCodeCommand, waitUntilFunctionActiveV2, waitUntilFunctionUpdatedV2,
} from "@aws-sdk/client-lambda";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { readFileSync } from "node:fs";

const lambda = new LambdaClient({});
const FunctionName = "from-javascript";
const [first, second] = process.argv.slice(2).map((path) => readFileSync(path));
const waiting = { client: lambda, maxWaitTime: 20, minDelay: 0.2 };
const call = async (Qualifier) => {
  const answer = await lambda.send(new InvokeCommand({ FunctionName, Qualifier, Payload: JSON.stringify({ n: 1 }), LogType: "Tail" }));
  return { body: JSON.parse(Buffer.from(answer.Payload).toString()), error: answer.FunctionError, version: answer.ExecutedVersion };
};

const said = {};
said.account = (await new STSClient({}).send(new GetCallerIdentityCommand({}))).Account;
await lambda.send(new CreateFunctionCommand({
  FunctionName, Runtime: "nodejs20.x", Handler: "index.handler", Role: "arn:aws:iam::000000000000:role/any", Code: { ZipFile: first },
}));
await waitUntilFunctionActiveV2(waiting, { FunctionName });
said.first = await call();
said.published = (await lambda.send(new PublishVersionCommand({ FunctionName }))).Version;
await lambda.send(new UpdateFunctionCodeCommand({ FunctionName, ZipFile: second }));
await waitUntilFunctionUpdatedV2(waiting, { FunctionName });
await lambda.send(new CreateAliasCommand({ FunctionName, Name: "live", FunctionVersion: said.published }));
said.second = await call();
said.live = await call("live");
await lambda.send(new DeleteFunctionCommand({ FunctionName }));
try {
  await lambda.send(new GetFunctionCommand({ FunctionName }));
} catch (error) {
  said.gone = error instanceof ResourceNotFoundException ? error.$metadata.httpStatusCode : String(error);
}
console.log(JSON.stringify(said));
