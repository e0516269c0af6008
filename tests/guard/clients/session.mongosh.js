// One session of mongosh: `mongosh URI session.mongosh.js`. Prints one line of JSON: what each
// step gave, or its error's code.
const results = {};

function step(title, work) {
  try {
    results[title] = work() ?? null;
  } catch (error) {
    const cause = error.originalError ?? error;
    results[title] = { code: cause.code ?? error.code ?? null, codeName: cause.codeName ?? null };
  }
}

const numbers = db.getCollection("numbers");
step("insert one", () => numbers.insertOne({ _id: -1, half: 0 }));
step("insert many", () => Object.keys(numbers.insertMany([...Array(100).keys()].map((n) => ({ _id: n, half: n >> 1 }))).insertedIds).length);
step("insert twice", () => numbers.insertOne({ _id: 1 }));
step("find one", () => numbers.findOne({ _id: 7 }));
step("update one", () => numbers.updateOne({ _id: 7 }, { $set: { seen: true } }));
step("update many", () => numbers.updateMany({ half: { $lt: 5 } }, { $inc: { half: 100 } }));
step("upsert", () => numbers.replaceOne({ _id: "new" }, { x: 1.5 }, { upsert: true }));
step("find and modify", () => numbers.findAndModify({ query: { _id: 9 }, update: { $inc: { half: 1 } }, new: true }));
step("delete one", () => numbers.deleteOne({ _id: 10 }));
step("delete many", () => numbers.deleteMany({ _id: { $gte: 80 } }));
step("count", () => numbers.countDocuments());
step("batches", () => numbers.find({ _id: { $type: "number" } }, { _id: 1 }).batchSize(7).sort({ _id: 1 }).toArray());
step("aggregate", () => numbers.aggregate([{ $match: { half: { $exists: true } } }, { $group: { _id: { $mod: ["$half", 3] }, sum: { $sum: "$half" } } }, { $sort: { _id: 1 } }]).toArray());
step("distinct", () => numbers.distinct("half").sort((a, b) => a - b));
step("collections", () => db.getCollectionNames().sort());
step("bad operator", () => numbers.findOne({ half: { $in: 1 } }));
step("unknown cursor", () => db.runCommand({ getMore: Long("123456"), collection: "numbers" }));
step("transaction", () => {
  const session = db.getMongo().startSession();
  const inside = session.getDatabase(db.getName()).getCollection("numbers");
  session.startTransaction();
  inside.insertOne({ _id: 701 });
  inside.insertOne({ _id: 702 });
  const seen = [inside.countDocuments({ _id: { $gt: 700 } }), numbers.countDocuments({ _id: { $gt: 700 } })];
  session.commitTransaction();
  session.startTransaction();
  inside.updateOne({ _id: 701 }, { $set: { gone: true } });
  session.abortTransaction();
  session.endSession();
  return [...seen, numbers.countDocuments({ _id: { $gt: 700 } }), numbers.findOne({ _id: 701 })];
});
step("change stream", () => {
  const stream = db.getCollection("watched").watch([], { maxAwaitTimeMS: 300 });
  stream.tryNext();
  db.getCollection("watched").insertOne({ _id: 1 });
  db.getCollection("watched").deleteOne({ _id: 1 });
  const seen = [];
  while (seen.length < 2) {
    const event = stream.tryNext();
    if (event) seen.push([event.operationType, event.documentKey]);
  }
  stream.close();
  return seen;
});
step("index", () => numbers.createIndex({ half: 1 }));
step("indexes", () => numbers.getIndexes().map((index) => index.name).sort());
step("drop", () => numbers.drop());

print(EJSON.stringify(results));
