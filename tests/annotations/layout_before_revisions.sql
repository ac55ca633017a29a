BEGIN TRANSACTION;
CREATE TABLE annotations (
	sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR(32) NOT NULL, 
	image_id VARCHAR(128) NOT NULL, 
	task VARCHAR(128), 
	tag VARCHAR(128) NOT NULL, 
	author VARCHAR(256), 
	parent VARCHAR(32), 
	model_version VARCHAR(128), 
	origin VARCHAR(16) NOT NULL, 
	created DATETIME NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	file_name VARCHAR(300) NOT NULL, 
	names JSON NOT NULL, 
	grid JSON NOT NULL, 
	voxels_changed BIGINT, 
	patient_key VARCHAR(64) NOT NULL, 
	UNIQUE (id), 
	FOREIGN KEY(parent) REFERENCES annotations (id)
);
INSERT INTO "annotations" VALUES(1,'8ee33d7127214c0b8851ebb9973a875a','1.2.1','thorax_ct','original',NULL,NULL,'v1','automatic','2026-11-24 04:09:58.893507','714f0c697b8b6150995ae1bf7207dda939c253082929078fe82e107e889a0e6a','1.2.1/8ee33d7127214c0b8851ebb9973a875a.nii.gz','{"liver": 1}','{"shape": [3, 2, 2], "affine_ras": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]]}',NULL,'329112a26a02b3455eb4b6be4f598d43');
INSERT INTO "annotations" VALUES(2,'071b6aa484c8408293b1db4d8cfc83f9','1.2.1','thorax_ct','final','anna','8ee33d7127214c0b8851ebb9973a875a','v1','semiautomatic','2026-11-24 04:09:58.924125','714f0c697b8b6150995ae1bf7207dda939c253082929078fe82e107e889a0e6a','1.2.1/071b6aa484c8408293b1db4d8cfc83f9.nii.gz','{"liver": 1}','{"shape": [3, 2, 2], "affine_ras": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]]}',0,'329112a26a02b3455eb4b6be4f598d43');
INSERT INTO "annotations" VALUES(3,'d27ec810a00b4bc6a3f7ab94db2a8991','1.2.2','thorax_ct','original',NULL,NULL,NULL,'manual','2026-11-24 04:09:58.949467','714f0c697b8b6150995ae1bf7207dda939c253082929078fe82e107e889a0e6a','1.2.2/d27ec810a00b4bc6a3f7ab94db2a8991.nii.gz','{"liver": 1}','{"shape": [3, 2, 2], "affine_ras": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]]}',NULL,'23aa6158f4214a6089745ac4e538ce83');
INSERT INTO "annotations" VALUES(4,'cb65b89ecca84c8782bb88d8e4e590f9','1.2.3',NULL,'final','bert',NULL,NULL,'manual','2026-11-24 04:09:58.984578','714f0c697b8b6150995ae1bf7207dda939c253082929078fe82e107e889a0e6a','1.2.3/cb65b89ecca84c8782bb88d8e4e590f9.nii.gz','{"liver": 1}','{"shape": [3, 2, 2], "affine_ras": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]]}',NULL,'71a35ddc1aa3c4ce788bfde37dc3c9e6');
INSERT INTO "annotations" VALUES(5,'35ea66c11d584b23a8331fd965cbbfd5','1.2.4','thorax_ct','final','bert',NULL,NULL,'manual','2026-11-24 04:09:59.033495','714f0c697b8b6150995ae1bf7207dda939c253082929078fe82e107e889a0e6a','1.2.4/35ea66c11d584b23a8331fd965cbbfd5.nii.gz','{"liver": 1}','{"shape": [3, 2, 2], "affine_ras": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]]}',NULL,'d2b49f9fc678ff69cc96eed3cacb355e');
CREATE TABLE deliveries (
	annotation_id VARCHAR(32) NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	series_instance_uid VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	attempts INTEGER NOT NULL, 
	last_error TEXT, 
	next_try DATETIME NOT NULL, 
	delivered_at DATETIME, 
	PRIMARY KEY (annotation_id), 
	FOREIGN KEY(annotation_id) REFERENCES annotations (id), 
	UNIQUE (sop_instance_uid)
);
INSERT INTO "deliveries" VALUES('071b6aa484c8408293b1db4d8cfc83f9','2.25.150869692719971728039340573335167278822','2.25.118074179353595637910859531179523603532','pending',0,NULL,'2026-11-24 04:09:58.925790',NULL);
INSERT INTO "deliveries" VALUES('cb65b89ecca84c8782bb88d8e4e590f9','2.25.77563848715891237267960169553696688200','2.25.296612816537661065522715468490315680051','pending',0,NULL,'2026-11-24 04:09:58.986305',NULL);
INSERT INTO "deliveries" VALUES('35ea66c11d584b23a8331fd965cbbfd5','2.25.44187354406456319405280187989498605154','2.25.243440562646221618833397499231701154253','called_off',0,NULL,'2026-11-24 04:09:59.035430',NULL);
CREATE TABLE facts (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "facts" VALUES('patient_key_fingerprint','7908546a7b8d585be6d0b6425856b716');
CREATE TABLE image_info (
	subject VARCHAR(128) NOT NULL, 
	info JSON NOT NULL, 
	updated DATETIME NOT NULL, 
	PRIMARY KEY (subject)
);
INSERT INTO "image_info" VALUES('1.2.1','{"draft:thorax_ct": {"version": "v1", "sha256": null, "at": 1.0}}','2026-11-24 04:09:59.088635');
CREATE TABLE jobs (
	sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR(32) NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	task VARCHAR(128) NOT NULL, 
	request JSON NOT NULL, 
	author VARCHAR(256), 
	state VARCHAR(16) NOT NULL, 
	pid INTEGER, 
	process_started FLOAT, 
	created DATETIME NOT NULL, 
	started DATETIME, 
	ended DATETIME, 
	progress FLOAT NOT NULL, 
	message TEXT NOT NULL, 
	result JSON, 
	error TEXT, 
	UNIQUE (id)
);
INSERT INTO "jobs" VALUES(1,'3f73f6873ee34137baf2bf966d322e7b','train','thorax_ct','{"task": "thorax_ct", "options": {}}','anna','queued',NULL,NULL,'2026-11-24 04:09:59.173304',NULL,NULL,0.0,'waiting',NULL,NULL);
CREATE TABLE label_info (
	subject VARCHAR(32) NOT NULL, 
	info JSON NOT NULL, 
	updated DATETIME NOT NULL, 
	PRIMARY KEY (subject), 
	FOREIGN KEY(subject) REFERENCES annotations (id)
);
INSERT INTO "label_info" VALUES('071b6aa484c8408293b1db4d8cfc83f9','{"seconds": 90}','2026-11-24 04:09:59.114058');
CREATE TABLE splits (
	task VARCHAR(128) NOT NULL, 
	patient_key VARCHAR(64) NOT NULL, 
	split VARCHAR(16) NOT NULL, 
	PRIMARY KEY (task, patient_key)
);
INSERT INTO "splits" VALUES('thorax_ct','p1','train');
INSERT INTO "splits" VALUES('thorax_ct','p2','holdout');
CREATE TABLE withdrawals (
	annotation_id VARCHAR(32) NOT NULL, 
	author VARCHAR(256), 
	reason TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	PRIMARY KEY (annotation_id), 
	FOREIGN KEY(annotation_id) REFERENCES annotations (id)
);
INSERT INTO "withdrawals" VALUES('35ea66c11d584b23a8331fd965cbbfd5','bert','wrong series','2026-11-24 04:09:59.057840');
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX annotations_by_image ON annotations (image_id, tag, sequence);
CREATE INDEX ix_annotations_patient_key ON annotations (patient_key);
CREATE TRIGGER annotations_no_update BEFORE UPDATE ON annotations BEGIN SELECT RAISE(ABORT, 'annotations is append-only'); END;
CREATE TRIGGER annotations_no_delete BEFORE DELETE ON annotations BEGIN SELECT RAISE(ABORT, 'annotations is append-only'); END;
CREATE TRIGGER splits_no_update BEFORE UPDATE ON splits BEGIN SELECT RAISE(ABORT, 'splits is append-only'); END;
CREATE TRIGGER splits_no_delete BEFORE DELETE ON splits BEGIN SELECT RAISE(ABORT, 'splits is append-only'); END;
CREATE TRIGGER facts_no_update BEFORE UPDATE ON facts BEGIN SELECT RAISE(ABORT, 'facts is append-only'); END;
CREATE TRIGGER facts_no_delete BEFORE DELETE ON facts BEGIN SELECT RAISE(ABORT, 'facts is append-only'); END;
CREATE TRIGGER withdrawals_no_update BEFORE UPDATE ON withdrawals BEGIN SELECT RAISE(ABORT, 'withdrawals is append-only'); END;
CREATE TRIGGER withdrawals_no_delete BEFORE DELETE ON withdrawals BEGIN SELECT RAISE(ABORT, 'withdrawals is append-only'); END;
CREATE INDEX ix_deliveries_state ON deliveries (state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('annotations',5);
INSERT INTO "sqlite_sequence" VALUES('jobs',1);
COMMIT;
