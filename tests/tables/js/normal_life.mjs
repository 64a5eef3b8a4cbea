// A table's normal life by three libraries: the document client, ElectroDB and dynamoose. Prints one JSON document.
import { DynamoDBClient, CreateTableCommand, waitUntilTableExists, ConditionalCheckFailedException, TransactionCanceledException } from "@aws-sdk/client-dynamodb";
import * as lib from "@aws-sdk/lib-dynamodb";
import { Entity } from "electrodb";
import dynamoose from "dynamoose";

const name = process.argv[2];
const client = new DynamoDBClient({});
const documents = lib.DynamoDBDocumentClient.from(client);
const send = (Command, input) => documents.send(new Command(input));
const told = {};

await client.send(new CreateTableCommand({
  TableName: name,
  BillingMode: "PAY_PER_REQUEST",
  AttributeDefinitions: ["pk", "sk", "gsi1pk", "gsi1sk"].map((each) => ({ AttributeName: each, AttributeType: "S" })),
  KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }, { AttributeName: "sk", KeyType: "RANGE" }],
  GlobalSecondaryIndexes: [{
    IndexName: "gsi1",
    KeySchema: [{ AttributeName: "gsi1pk", KeyType: "HASH" }, { AttributeName: "gsi1sk", KeyType: "RANGE" }],
    Projection: { ProjectionType: "ALL" },
  }],
}));
await waitUntilTableExists({ client, maxWaitTime: 20, minDelay: 1 }, { TableName: name });

// The document client
const item = { pk: "a", sk: "1", n: 1.5, list: [1, "x", null, true], map: { deep: { er: new Uint8Array([0, 255]) } }, set: new Set(["x", "y"]) };
await send(lib.PutCommand, { TableName: name, Item: item });
const got = (await send(lib.GetCommand, { TableName: name, Key: { pk: "a", sk: "1" } })).Item;
told.document = [got.n, got.list, [...got.map.deep.er], [...got.set].sort()];
try {
  await send(lib.PutCommand, { TableName: name, Item: item, ConditionExpression: "attribute_not_exists(pk)", ReturnValuesOnConditionCheckFailure: "ALL_OLD" });
} catch (error) {
  told.refused = [error instanceof ConditionalCheckFailedException, error.message, Object.keys(error.Item).length];
}
const updated = await send(lib.UpdateCommand, {
  TableName: name, Key: { pk: "a", sk: "1" }, ReturnValues: "UPDATED_NEW",
  UpdateExpression: "SET #l[0] = :v, n = n + :one ADD #s :more", ExpressionAttributeNames: { "#l": "list", "#s": "set" },
  ExpressionAttributeValues: { ":v": "first", ":one": 1, ":more": new Set(["z"]) },
});
told.updated = [updated.Attributes.n, updated.Attributes.list[0], updated.Attributes.set.size];
await send(lib.BatchWriteCommand, { RequestItems: { [name]: Array.from({ length: 25 }, (_, at) => ({ PutRequest: { Item: { pk: "b", sk: String(at).padStart(2, "0") } } })) } });
let pages = 0, sorts = [];
for await (const page of lib.paginateQuery({ client: documents, pageSize: 10 }, { TableName: name, KeyConditionExpression: "pk = :p", ExpressionAttributeValues: { ":p": "b" } })) {
  pages += 1;
  sorts.push(...page.Items.map((each) => each.sk));
}
told.paged = [pages, sorts.length, sorts[24]];
try {
  await send(lib.TransactWriteCommand, { TransactItems: [
    { Put: { TableName: name, Item: { pk: "t", sk: "1" } } },
    { ConditionCheck: { TableName: name, Key: { pk: "none", sk: "1" }, ConditionExpression: "attribute_exists(pk)" } },
  ] });
} catch (error) {
  told.cancelled = [error instanceof TransactionCanceledException, error.CancellationReasons.map((each) => each.Code)];
}

// ElectroDB
const Task = new Entity({
  model: { entity: "task", version: "1", service: "work" },
  attributes: {
    project: { type: "string", required: true },
    id: { type: "string", required: true },
    owner: { type: "string", required: true },
    points: { type: "number", default: 1 },
    labels: { type: "set", items: "string" },
  },
  indexes: {
    byProject: { pk: { field: "pk", composite: ["project"] }, sk: { field: "sk", composite: ["id"] } },
    byOwner: { index: "gsi1", pk: { field: "gsi1pk", composite: ["owner"] }, sk: { field: "gsi1sk", composite: ["project", "id"] } },
  },
}, { client: documents, table: name });
await Task.create({ project: "p", id: "1", owner: "ann", labels: ["x"] }).go();
await Task.put([{ project: "p", id: "2", owner: "bob" }, { project: "q", id: "3", owner: "ann" }]).go();
await Task.patch({ project: "p", id: "1" }).add({ points: 4, labels: ["y"] }).go();
const twice = await Task.create({ project: "p", id: "1", owner: "x" }).go().then(() => "made", () => "refused");
const owned = await Task.query.byOwner({ owner: "ann" }).where(({ points }, { gt }) => gt(points, 0)).go();
const first = await Task.get({ project: "p", id: "1" }).go();
told.electrodb = [twice, owned.data.map((each) => each.id).sort(), first.data.points, first.data.labels.sort()];

// dynamoose makes its own table
dynamoose.aws.ddb.set(new dynamoose.aws.ddb.DynamoDB({}));
const Cat = dynamoose.model(name + "-cats", new dynamoose.Schema({
  id: { type: String, hashKey: true }, name: { type: String, index: { name: "by-name", type: "global" } }, lives: Number,
}, { timestamps: true }), { throughput: "ON_DEMAND", waitForActive: { enabled: true, check: { frequency: 50, timeout: 20000 } } });
await Cat.create({ id: "1", name: "Tom", lives: 9 });
await Cat.batchPut([{ id: "2", name: "Kit", lives: 8 }, { id: "3", name: "Tom", lives: 7 }]);
await Cat.update({ id: "1" }, { $ADD: { lives: -1 } });
const toms = await Cat.query("name").eq("Tom").exec();
const many = await Cat.scan("lives").ge(8).exec();
told.dynamoose = [toms.map((each) => [each.id, each.lives]).sort(), many.count, (await Cat.get("2")).createdAt instanceof Date];

console.log(JSON.stringify(told));
