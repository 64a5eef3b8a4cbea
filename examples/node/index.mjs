export const handler = async (event, context) => {
  console.log("hello from Node.js, request", context.awsRequestId);
  return { language: "Node.js", event };
};
