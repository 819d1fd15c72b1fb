// A Node program that knows nothing of signing: it calls through `govbus proxy` by grpc-js, with stubs made while it runs.
//
// usage: node call.mjs ADDRESS CONTRACTS, with the proxy's token in GOVBUS_TOKEN. It prints one JSON document: a unit's
// name, how many units a stream brought, and why a purpose without a grant was refused.
import { readFileSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";

const [address, contracts] = process.argv.slice(2);
const list = "gso-2025-07";
// Of a descriptor set, proto-loader keeps the fields' names as the contract has them.
const loaded = grpc.loadPackageDefinition(loadFileDescriptorSetFromBuffer(readFileSync(contracts)));
const units = new loaded.vn.administrative.v1.AdministrativeUnitService(address, grpc.credentials.createInsecure());

// What the bus signs and records: why, for which case.
function saying(purpose) {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${process.env.GOVBUS_TOKEN}`);
  metadata.set("govbus-purpose", purpose);
  metadata.set("govbus-case", "case-node-1");
  return metadata;
}

function getUnit(purpose) {
  return new Promise((resolve) => {
    const found = {};
    const call = units.getUnit(
      { code: { code: "01", code_list_version: list } },
      saying(purpose),
      { deadline: Date.now() + 60_000 },
      (error, answer) => Object.assign(found, { error, answer }),
    );
    call.on("status", (status) => resolve({ ...found, trailers: status.metadata }));
  });
}

async function countUnits() {
  let count = 0;
  for await (const _ of units.listUnits({ code_list_version: list }, saying("civil.birth"))) count += 1;
  return count;
}

const answered = await getUnit("civil.birth");
if (answered.error) throw answered.error;
const refused = await getUnit("tax.audit");
console.log(
  JSON.stringify({
    name: answered.answer.unit.name,
    request: answered.trailers.get("govbus-request-id"),
    streamed: await countUnits(),
    code: grpc.status[refused.error.code],
    reason: refused.error.metadata.get("govbus-reason")[0],
  }),
);
units.close();
