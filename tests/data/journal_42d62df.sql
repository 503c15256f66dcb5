BEGIN TRANSACTION;
CREATE TABLE attempts (
    key TEXT NOT NULL,
    number INTEGER NOT NULL,
    started REAL NOT NULL,
    outcome TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (key, number)
);
INSERT INTO "attempts" VALUES('cb-6983c68b1669420e9d83ab3cda6cbc60',1,1.79585954451011538509e+09,'accepted: 7-1');
INSERT INTO "attempts" VALUES('cb-7083a5e36e1b486a8925e7ee5be1e4b1',1,1.79585954460429739944e+09,'accepted: 7-2');
INSERT INTO "attempts" VALUES('cb-b2c39fcc3e3b4a6da40a82589f7e17f6',1,1.79585954462337064746e+09,'accepted: 7-3');
INSERT INTO "attempts" VALUES('cb-ceb066a8e5284f4f8232a1935b5a83d2',1,1.79585954464414167403e+09,'accepted: 7-4');
INSERT INTO "attempts" VALUES('cb-9a40445a4cef49dfae148642c2ab13f1',1,1.79585954466022706035e+09,'accepted: 7-5');
CREATE TABLE purchases (
    key TEXT PRIMARY KEY,
    request_hash TEXT NOT NULL,
    account TEXT NOT NULL,
    base TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    prompt_id TEXT NOT NULL DEFAULT '',
    price INTEGER NOT NULL,
    debited INTEGER NOT NULL DEFAULT 0,
    credited INTEGER NOT NULL DEFAULT 0,
    wallets TEXT NOT NULL DEFAULT '{}',
    workflow_id TEXT NOT NULL DEFAULT '',
    cancel_wanted INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    heartbeat REAL NOT NULL DEFAULT 0,
    about TEXT NOT NULL DEFAULT '{}',
    slots TEXT NOT NULL DEFAULT '[]',
    error TEXT NOT NULL DEFAULT ''
);
INSERT INTO "purchases" VALUES('cb-6983c68b1669420e9d83ab3cda6cbc60','9ff1c98a8d4280654483214000a49feb5030f012baebc8c66e73d5d186311ac0','9c6a5f49ad19029a','https://orchestration.civitai.com','collected','',1.79585954450891566278e+09,1.79585954459503221516e+09,'',16,16,0,'{"blue": 16}','7-1',0,'',0.0,'{"air": "urn:air:sdxl:checkpoint:civitai:101055@128078", "model": "SD XL v1.0", "variant": "comfy/sdxl", "prompt": "a lighthouse at dusk", "quantity": 2, "seed": 1, "quoted": 16, "status": "succeeded", "unknown_since": null}','[{"index": 0, "seed": 1, "blob_id": "7-1-0.png", "sha256": "b44cbb61126f05ace0a52e16798bb6576d920a54e5cb624ca593b31f1a3cf549", "file": "b44cbb61126f05ace0a52e16798bb6576d920a54e5cb624ca593b31f1a3cf549.png", "width": 64, "height": 64, "reason": "", "pending": false, "blocked": false}, {"index": 1, "seed": 2, "blob_id": "7-1-1.png", "sha256": "64779496c50f4c2fdfd21715bdb1825d02c9386ce78e83dfd8c5774c6c81622e", "file": "64779496c50f4c2fdfd21715bdb1825d02c9386ce78e83dfd8c5774c6c81622e.png", "width": 64, "height": 64, "reason": "", "pending": false, "blocked": false}]','');
INSERT INTO "purchases" VALUES('cb-7083a5e36e1b486a8925e7ee5be1e4b1','3e80dab18c3271a3a0295b8b83bbc347e4946e3c50760e05ddb8b2526605deae','9c6a5f49ad19029a','https://orchestration.civitai.com','accepted','{"steps":[{"$type":"imageGen","name":"gen","input":{"engine":"comfy","ecosystem":"sdxl","operation":"createImage","model":"urn:air:sdxl:checkpoint:civitai:101055@128078","prompt":"a lighthouse at dusk","quantity":2,"seed":2,"outputFormat":"png"}}],"currencies":[],"tags":["civitai-bridge","cb-7083a5e36e1b486a8925e7ee5be1e4b1"],"upgradeMode":"manual","externalId":"cb-7083a5e36e1b486a8925e7ee5be1e4b1"}',1.795859544602205038e+09,1.79585954460495543483e+09,'',16,16,0,'{"blue": 16}','7-2',0,'',0.0,'{"air": "urn:air:sdxl:checkpoint:civitai:101055@128078", "model": "SD XL v1.0", "variant": "comfy/sdxl", "prompt": "a lighthouse at dusk", "quantity": 2, "seed": 2, "quoted": 16}','[]','');
INSERT INTO "purchases" VALUES('cb-b2c39fcc3e3b4a6da40a82589f7e17f6','2177de3e80f4a91d34caa79a11d4690beb5cf1cc3bd7c278016e9b50ae60ad5b','9c6a5f49ad19029a','https://orchestration-new.civitai.com','accepted','{"steps":[{"$type":"imageGen","name":"gen","input":{"engine":"comfy","ecosystem":"sdxl","operation":"createImage","model":"urn:air:sdxl:checkpoint:civitai:101055@128078","prompt":"a lighthouse at dusk","quantity":2,"seed":3,"outputFormat":"png"}}],"currencies":[],"tags":["civitai-bridge","cb-b2c39fcc3e3b4a6da40a82589f7e17f6"],"upgradeMode":"manual","externalId":"cb-b2c39fcc3e3b4a6da40a82589f7e17f6"}',1.79585954461663389208e+09,1.79585954462817192073e+09,'',16,16,0,'{"blue": 16}','7-3',0,'',0.0,'{"air": "urn:air:sdxl:checkpoint:civitai:101055@128078", "model": "SD XL v1.0", "variant": "comfy/sdxl", "prompt": "a lighthouse at dusk", "quantity": 2, "seed": 3, "quoted": 16}','[]','');
INSERT INTO "purchases" VALUES('cb-ceb066a8e5284f4f8232a1935b5a83d2','3d0e8b0fc16d779333f026ce3fad871422d3f7190d2d9b1378b9181f1769f025','bb2836b3be57d13f','https://orchestration.civitai.com','accepted','{"steps":[{"$type":"imageGen","name":"gen","input":{"engine":"comfy","ecosystem":"sdxl","operation":"createImage","model":"urn:air:sdxl:checkpoint:civitai:101055@128078","prompt":"a lighthouse at dusk","quantity":2,"seed":4,"outputFormat":"png"}}],"currencies":[],"tags":["civitai-bridge","cb-ceb066a8e5284f4f8232a1935b5a83d2"],"upgradeMode":"manual","externalId":"cb-ceb066a8e5284f4f8232a1935b5a83d2"}',1.79585954464052867884e+09,1.79585954464474058149e+09,'',16,16,0,'{"blue": 16}','7-4',0,'',0.0,'{"air": "urn:air:sdxl:checkpoint:civitai:101055@128078", "model": "SD XL v1.0", "variant": "comfy/sdxl", "prompt": "a lighthouse at dusk", "quantity": 2, "seed": 4, "quoted": 16}','[]','');
INSERT INTO "purchases" VALUES('cb-9a40445a4cef49dfae148642c2ab13f1','462d16471c156434e11210a847930acc76eae65836f66f602dc66ed02238debb','9c6a5f49ad19029a','https://orchestration.civitai.com','failed','{"steps":[{"$type":"imageGen","name":"gen","input":{"engine":"comfy","ecosystem":"sdxl","operation":"createVariant","model":"urn:air:sdxl:checkpoint:civitai:101055@128078","prompt":"a lighthouse at dusk","quantity":2,"seed":5,"image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAYElEQVR4nO3PQQ0AIBDAMA78e0YEj4ZkVbDN7LN+tnXAqwa0BrQGtAa0BrQGtAa0BrQGtAa0BrQGtAa0BrQGtAa0BrQGtAa0BrQGtAa0BrQGtAa0BrQGtAa0BrQGtAa0C2J1AIYg73b4AAAAAElFTkSuQmCC","denoiseStrength":0.7,"outputFormat":"png"}}],"currencies":[],"tags":["civitai-bridge","cb-9a40445a4cef49dfae148642c2ab13f1"],"upgradeMode":"manual","externalId":"cb-9a40445a4cef49dfae148642c2ab13f1"}',1.79585954465245938296e+09,1.79585954468875384328e+09,'',16,16,0,'{"blue": 16}','7-5',0,'',0.0,'{"air": "urn:air:sdxl:checkpoint:civitai:101055@128078", "model": "SD XL v1.0", "variant": "comfy/sdxl", "prompt": "a lighthouse at dusk", "quantity": 2, "seed": 5, "quoted": 16, "status": "failed", "unknown_since": null}','[]','');
CREATE INDEX purchases_by_hash ON purchases (request_hash, account, base);
CREATE INDEX purchases_by_time ON purchases (base, created);
CREATE INDEX purchases_by_workflow ON purchases (workflow_id);
COMMIT;
