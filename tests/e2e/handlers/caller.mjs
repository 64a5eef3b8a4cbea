import { STSClient, GetCallerIdentityCommand } from "@aws-sdk/client-sts";

const client = new STSClient({});

export const handler = async (event) => {
  const identity = await client.send(new GetCallerIdentityCommand({}));
  return { arn: identity.Arn, account: identity.Account, name: event.name };
};
