// One session of the Node driver: `node session.cjs URI DATABASE [OPTIONS as JSON]`, in a folder
// with node_modules/mongodb. Prints one JSON object: what each step gave, or its error's code.
const { createRequire } = require("node:module");
const { MongoClient, Long, UUID } = createRequire(`${process.cwd()}/`)("mongodb");

const [uri, name, options = "{}"] = process.argv.slice(2);
const results = {};

async function step(title, work) {
  try {
    results[title] = (await work()) ?? null;
  } catch (error) {
    results[title] = { code: error.code ?? null, codeName: error.codeName ?? null, labels: [...(error.errorLabels ?? [])].sort(), kind: error.constructor.name };
  }
}

async function documents(db) {
  const numbers = db.collection("numbers");
  await step("insert one", async () => (await numbers.insertOne({ _id: -1, half: 0 })).insertedId);
  await step("insert many", async () =>
    (await numbers.insertMany(Array.from({ length: 300 }, (_, n) => ({ _id: n, half: n >> 1 })))).insertedCount);
  await step("insert twice", () => numbers.insertOne({ _id: 1 }));
  await step("insert many twice", () => numbers.insertMany([{ _id: 900 }, { _id: 1 }, { _id: 901 }], { ordered: false }));
  await step("find one", () => numbers.findOne({ _id: 7 }));
  await step("update one", () => numbers.updateOne({ _id: 7 }, { $set: { seen: true, at: new Date(0) } }));
  await step("update many", () => numbers.updateMany({ half: { $lt: 5 } }, { $inc: { half: 100 } }));
  await step("upsert", () => numbers.updateOne({ _id: "new" }, { $set: { x: 1.5 } }, { upsert: true }));
  await step("replace", () => numbers.replaceOne({ _id: 8 }, { y: ["a", { b: null }] }));
  await step("find and update", () => numbers.findOneAndUpdate({ _id: 9 }, { $inc: { half: 1 } }, { returnDocument: "after" }));
  await step("find and delete", () => numbers.findOneAndDelete({ half: 20 }, { sort: { _id: -1 } }));
  await step("delete one", () => numbers.deleteOne({ _id: 10 }));
  await step("delete many", () => numbers.deleteMany({ _id: { $gte: 250 } }));
  await step("bulk write", async () => {
    const done = await numbers.bulkWrite([
      { insertOne: { document: { _id: 500 } } },
      { updateOne: { filter: { _id: 500 }, update: { $set: { z: 1 } } } },
      { deleteOne: { filter: { _id: 11 } } },
    ]);
    return [done.insertedCount, done.modifiedCount, done.deletedCount];
  });
  await step("count", () => numbers.countDocuments({}));
  await step("estimate", () => numbers.estimatedDocumentCount());
  await step("distinct", async () => (await numbers.distinct("half")).filter((n) => n !== undefined).sort((a, b) => a - b));
  await step("bad operator", () => numbers.findOne({ half: { $in: 1 } }));
  await step("bad update", () => numbers.updateOne({ _id: 7 }, { $set: { _id: 8 } }));
}

async function cursors(db) {
  const numbers = db.collection("numbers");
  await step("batches", async () =>
    (await numbers.find({}, { batchSize: 7 }).sort({ _id: 1 }).toArray()).map((each) => each._id));
  await step("limit and skip", () => numbers.find({ _id: { $type: "number" } }).sort({ _id: -1 }).skip(3).limit(4).toArray());
  await step("closed early", async () => {
    const cursor = numbers.find({}, { batchSize: 2 });
    await cursor.next();
    await cursor.close();
    return cursor.closed;
  });
  await step("unknown cursor", () => db.command({ getMore: Long.fromNumber(123456), collection: "numbers" }));
  await step("killed cursor", async () => {
    const opened = await db.command({ find: "numbers", batchSize: 1 });
    const killed = await db.command({ killCursors: "numbers", cursors: [opened.cursor.id] });
    const missing = await db.command({ killCursors: "numbers", cursors: [Long.fromNumber(77)] });
    try {
      await db.command({ getMore: opened.cursor.id, collection: "numbers" });
    } catch (error) {
      return [killed.cursorsKilled.length, missing.cursorsNotFound.length, error.code, error.codeName];
    }
  });
  await step("tailable", () => numbers.find({}, { tailable: true }).toArray());
  await step("collections", async () => (await db.listCollections().toArray()).map((each) => each.name).sort());
  await step("too slow", () =>
    numbers.aggregate([...Array(4)].map((_, n) => ({ $lookup: { from: "numbers", pipeline: [], as: `all${n}` } })).concat({ $unwind: "$all0" }, { $unwind: "$all1" }, { $count: "n" }), { maxTimeMS: 1 }).toArray());
}

async function aggregation(db) {
  const numbers = db.collection("numbers");
  await step("group", () => numbers.aggregate([
    { $match: { half: { $exists: true } } }, { $group: { _id: { $mod: ["$half", 3] }, sum: { $sum: "$half" } } }, { $sort: { _id: 1 } },
  ]).toArray());
  await step("facet in batches", async () =>
    (await numbers.aggregate([{ $sort: { _id: 1 } }, { $project: { twice: { $multiply: ["$half", 2] } } }], { batchSize: 11 }).toArray()).length);
  await step("lookup", () => numbers.aggregate([
    { $match: { _id: { $lt: 3 } } }, { $lookup: { from: "numbers", localField: "half", foreignField: "_id", as: "found" } }, { $sort: { _id: 1 } },
  ]).toArray());
  await step("bad stage", () => numbers.aggregate([{ $group: { sum: { $sum: 1 } } }]).toArray());
  await step("out", async () => {
    await numbers.aggregate([{ $match: { half: 100 } }, { $out: "copied" }]).toArray();
    return db.collection("copied").find().sort({ _id: 1 }).toArray();
  });
}

async function transactions(client, db) {
  const numbers = db.collection("numbers");
  const counted = async () => numbers.countDocuments({ _id: { $in: [701, 702, 703] } });
  for (const [title, ids] of [["one", [701]], ["two", [702, 703]]]) {
    await step(`commit ${title}`, () => client.withSession((session) => session.withTransaction(async () => {
      for (const _id of ids) await numbers.insertOne({ _id }, { session });
      return [await numbers.countDocuments({ _id: { $in: ids } }, { session }), await counted()];
    })));
    await step(`after ${title}`, counted);
  }
  await step("abort", () => client.withSession(async (session) => {
    session.startTransaction();
    await numbers.updateOne({ _id: 701 }, { $set: { gone: true } }, { session });
    await session.abortTransaction();
    return numbers.findOne({ _id: 701 });
  }));
  await step("two of a kind", () => client.withSession((one) => client.withSession(async (two) => {
    one.startTransaction();
    two.startTransaction();
    await numbers.updateOne({ _id: 701 }, { $set: { by: 1 } }, { session: one });
    try {
      await numbers.updateOne({ _id: 701 }, { $set: { by: 2 } }, { session: two });
    } finally {
      await one.abortTransaction();
      await two.abortTransaction().catch(() => null);
    }
  })));
  await step("no such transaction", () =>
    db.admin().command({ commitTransaction: 1, lsid: { id: new UUID("00112233-4455-4677-8899-aabbccddeeff") }, txnNumber: Long.fromNumber(4), autocommit: false }));
}

async function changes(db) {
  const numbers = db.collection("watched");
  await step("change stream", async () => {
    const stream = numbers.watch([], { fullDocument: "updateLookup", maxAwaitTimeMS: 300 });
    const seen = [];
    const next = async () => {
      const event = await stream.next();
      seen.push([event.operationType, event.documentKey, event.fullDocument ?? null, event.ns.coll]);
    };
    await stream.tryNext();
    await numbers.insertOne({ _id: 1 });
    await next();
    await numbers.updateOne({ _id: 1 }, { $set: { x: 2 } });
    await next();
    await numbers.deleteOne({ _id: 1 });
    await next();
    const resumed = numbers.watch([], { resumeAfter: stream.resumeToken, maxAwaitTimeMS: 300 });
    await stream.close();
    await numbers.insertOne({ _id: 2 });
    seen.push((await resumed.next()).operationType);
    await resumed.close();
    return seen;
  });
  await step("bad resume token", async () => {
    const stream = numbers.watch([], { resumeAfter: { _data: "00" }, maxAwaitTimeMS: 300 });
    try {
      return await stream.tryNext();
    } finally {
      await stream.close();
    }
  });
}

async function main() {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 30000, ...JSON.parse(options) });
  try {
    const db = client.db(name);
    await documents(db);
    await cursors(db);
    await aggregation(db);
    await transactions(client, db);
    await changes(db);
  } finally {
    await client.close();
  }
  console.log(JSON.stringify(results, (_, value) => (typeof value === "bigint" ? String(value) : value), 1));
}

main();
