// What the SDK for JavaScript offers beside single items: statements, transactions, settings, copies, streams, waiters, and how
// errors arrive. Prints one JSON document.
import * as db from "@aws-sdk/client-dynamodb";
import * as streams from "@aws-sdk/client-dynamodb-streams";
import * as lib from "@aws-sdk/lib-dynamodb";
import { Entity, Service } from "electrodb";
import dynamoose from "dynamoose";

const name = process.argv[2];
const client = new db.DynamoDBClient({ maxAttempts: 1 });
const documents = lib.DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } });
const send = (Command, input) => client.send(new Command({ TableName: name, ...input }));
const put = (item) => documents.send(new lib.PutCommand({ TableName: name, Item: item }));
const error = (call) => call.then(() => "no error", (thrown) => [thrown.constructor.name, thrown.message, thrown.$metadata?.httpStatusCode]);
const told = {};

await send(db.CreateTableCommand, {
  AttributeDefinitions: ["pk", "sk"].map((each) => ({ AttributeName: each, AttributeType: "S" })),
  KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }, { AttributeName: "sk", KeyType: "RANGE" }],
  ProvisionedThroughput: { ReadCapacityUnits: 100, WriteCapacityUnits: 100 },
  StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
  Tags: [{ Key: "team", Value: "clouds" }],
});
await db.waitUntilTableExists({ client, maxWaitTime: 20, minDelay: 1 }, { TableName: name });

// Statements and transactions
const statement = (Statement, Parameters) => documents.send(new lib.ExecuteStatementCommand({ Statement, Parameters }));
await statement(`INSERT INTO "${name}" VALUE {'pk': ?, 'sk': ?, 'n': ?}`, ["a", "1", 1]);
await statement(`UPDATE "${name}" SET n = n + ? WHERE pk = ? AND sk = ?`, [41, "a", "1"]);
told.statement = (await statement(`SELECT n FROM "${name}" WHERE pk = ?`, ["a"])).Items;
const batch = await documents.send(new lib.BatchExecuteStatementCommand({ Statements: [
  { Statement: `INSERT INTO "${name}" VALUE {'pk': 'a', 'sk': '2'}` }, { Statement: `INSERT INTO "${name}" VALUE {'pk': 'a', 'sk': '1'}` },
] }));
told.statements = batch.Responses.map((each) => each.Error?.Code ?? each.TableName.length);
await documents.send(new lib.TransactWriteCommand({ ClientRequestToken: name, TransactItems: [
  { Update: { TableName: name, Key: { pk: "a", sk: "1" }, UpdateExpression: "ADD n :one", ExpressionAttributeValues: { ":one": 1 } } },
  { Put: { TableName: name, Item: { pk: "t", sk: "1", ends: 1 } } },
] }));
const read = await documents.send(new lib.TransactGetCommand({ TransactItems: ["a", "t", "no"].map((pk) => ({ Get: { TableName: name, Key: { pk, sk: "1" } } })) }));
told.transaction = read.Responses.map((each) => each.Item?.pk ?? null);

// Reading on: pages, segments, counts, batches
for (let at = 0; at < 60; at += 20) {
  const writes = Array.from({ length: 20 }, (_, more) => ({ PutRequest: { Item: { pk: "many", sk: String(100 + at + more), at: at + more } } }));
  await documents.send(new lib.BatchWriteCommand({ RequestItems: { [name]: writes } }));
}
let seen = 0, pages = 0;
for await (const page of lib.paginateScan({ client: documents, pageSize: 25 }, { TableName: name, FilterExpression: "#a < :n", ExpressionAttributeNames: { "#a": "at" }, ExpressionAttributeValues: { ":n": 50 } })) {
  seen += page.Count;
  pages += 1;
}
const segments = await Promise.all([0, 1, 2].map((Segment) => documents.send(new lib.ScanCommand({ TableName: name, Segment, TotalSegments: 3, Select: "COUNT", ReturnConsumedCapacity: "TOTAL" }))));
const back = await documents.send(new lib.QueryCommand({ TableName: name, ScanIndexForward: false, Limit: 2, KeyConditionExpression: "pk = :p AND begins_with(sk, :s)", ExpressionAttributeValues: { ":p": "many", ":s": "1" } }));
const found = await documents.send(new lib.BatchGetCommand({ RequestItems: { [name]: { Keys: [{ pk: "many", sk: "100" }, { pk: "many", sk: "nope" }], ProjectionExpression: "sk" } } }));
told.read = [seen, pages >= 3, segments.reduce((sum, each) => sum + each.Count, 0), back.Items.map((each) => each.sk), back.LastEvaluatedKey, found.Responses[name]];

// Settings
await send(db.UpdateTimeToLiveCommand, { TimeToLiveSpecification: { Enabled: true, AttributeName: "ends" } });
told.ttl = (await send(db.DescribeTimeToLiveCommand, {})).TimeToLiveDescription;
const { Table } = await send(db.DescribeTableCommand, {});
await client.send(new db.TagResourceCommand({ ResourceArn: Table.TableArn, Tags: [{ Key: "stage", Value: "test" }] }));
await client.send(new db.UntagResourceCommand({ ResourceArn: Table.TableArn, TagKeys: ["team"] }));
told.tags = (await client.send(new db.ListTagsOfResourceCommand({ ResourceArn: Table.TableArn }))).Tags;
await send(db.UpdateTableCommand, { ProvisionedThroughput: { ReadCapacityUnits: 50, WriteCapacityUnits: 60 } });
await db.waitUntilTableExists({ client, maxWaitTime: 20, minDelay: 1 }, { TableName: name });
told.capacity = (await send(db.DescribeTableCommand, {})).Table.ProvisionedThroughput.WriteCapacityUnits;
told.created = Table.CreationDateTime instanceof Date;

// Copies
const { BackupDetails } = await send(db.CreateBackupCommand, { BackupName: "friday" });
while ((await client.send(new db.DescribeBackupCommand({ BackupArn: BackupDetails.BackupArn }))).BackupDescription.BackupDetails.BackupStatus !== "AVAILABLE");
await client.send(new db.RestoreTableFromBackupCommand({ TargetTableName: name + "-again", BackupArn: BackupDetails.BackupArn }));
await db.waitUntilTableExists({ client, maxWaitTime: 30, minDelay: 1 }, { TableName: name + "-again" });
told.restored = (await documents.send(new lib.GetCommand({ TableName: name + "-again", Key: { pk: "a", sk: "1" } }))).Item.n;
await client.send(new db.DeleteBackupCommand({ BackupArn: BackupDetails.BackupArn }));
await send(db.UpdateContinuousBackupsCommand, { PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true } });
told.recovery = (await send(db.DescribeContinuousBackupsCommand, {})).ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus;

// The stream
const reader = new streams.DynamoDBStreamsClient({});
const StreamArn = Table.LatestStreamArn;
const [{ ShardId }] = (await reader.send(new streams.DescribeStreamCommand({ StreamArn }))).StreamDescription.Shards;
const { ShardIterator } = await reader.send(new streams.GetShardIteratorCommand({ StreamArn, ShardId, ShardIteratorType: "TRIM_HORIZON" }));
const { Records } = await reader.send(new streams.GetRecordsCommand({ ShardIterator, Limit: 4 }));
told.stream = Records.map((each) => [each.eventName, each.dynamodb.NewImage.n?.N ?? null]);

// Errors
told.errors = [
  await error(send(db.DescribeTableCommand, { TableName: name + "-none" })),
  await error(put({ sk: "no pk" })),
  await error(put({ pk: "", sk: "x" })),
  await error(put({ pk: "big", sk: "x", data: "x".repeat(410_000) })),
  await error(documents.send(new lib.QueryCommand({ TableName: name, KeyConditionExpression: "sk = :s", ExpressionAttributeValues: { ":s": "x" } }))),
  await error(documents.send(new lib.UpdateCommand({ TableName: name, Key: { pk: "a", sk: "1" }, UpdateExpression: "SET size = :s", ExpressionAttributeValues: { ":s": 1 } }))),
  await error(send(db.CreateTableCommand, { AttributeDefinitions: [{ AttributeName: "pk", AttributeType: "S" }], KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }], BillingMode: "PAY_PER_REQUEST" })),
];

// ElectroDB: a collection of two entities, a transaction, pages by cursor
const entity = (title, more) => new Entity({
  model: { entity: title, version: "1", service: "shop" },
  attributes: { store: { type: "string" }, id: { type: "string" }, price: { type: "number" }, ...more },
  indexes: { main: { collection: "all", pk: { field: "pk", composite: ["store"] }, sk: { field: "sk", composite: ["id"] } } },
});
const shop = new Service({ cup: entity("cup"), plate: entity("plate", { size: { type: ["s", "l"] } }) }, { client: documents, table: name });
await shop.transaction.write(({ cup, plate }) => [cup.create({ store: "x", id: "1", price: 3 }).commit(), plate.create({ store: "x", id: "2", price: 4, size: "l" }).commit()]).go();
const again = await shop.transaction.write(({ cup }) => [cup.create({ store: "x", id: "1", price: 3 }).commit()]).go();
const collected = await shop.collections.all({ store: "x" }).go();
await shop.entities.cup.put(["3", "4", "5"].map((id) => ({ store: "x", id, price: 1 }))).go();
const first = await shop.entities.cup.query.main({ store: "x" }).go({ limit: 2 });
const next = await shop.entities.cup.query.main({ store: "x" }).go({ cursor: first.cursor });
told.electrodb = [again.canceled, collected.data.cup.length, collected.data.plate[0].size, first.data.length, next.data.map((each) => each.id)];

// dynamoose: a transaction, conditions, its own errors
dynamoose.aws.ddb.set(new dynamoose.aws.ddb.DynamoDB({}));
const Account = dynamoose.model(name + "-accounts", new dynamoose.Schema({ id: { type: String, hashKey: true }, balance: Number, tags: { type: Set, schema: [String] } }), { throughput: { read: 20, write: 20 }, waitForActive: { enabled: true, check: { frequency: 50, timeout: 20000 } } });
await Account.create({ id: "a", balance: 10, tags: new Set(["x"]) });
await dynamoose.transaction([Account.transaction.update({ id: "a" }, { $ADD: { balance: -3 } }), Account.transaction.create({ id: "b", balance: 3 })]);
const refused = await Account.update({ id: "a" }, { balance: 0 }, { condition: new dynamoose.Condition().where("balance").gt(100) }).catch((thrown) => thrown.name);
const twice = await Account.create({ id: "a", balance: 0 }).catch((thrown) => thrown.name);
await Account.delete("b");
told.dynamoose = [(await Account.get("a")).balance, refused, twice, (await Account.scan().count().exec()).count];

for (const each of [name, name + "-again", name + "-accounts"]) await send(db.DeleteTableCommand, { TableName: each });
await db.waitUntilTableNotExists({ client, maxWaitTime: 20, minDelay: 1 }, { TableName: name });
console.log(JSON.stringify(told));
