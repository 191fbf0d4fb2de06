-- As 0003, and apart from it: a migration locks one table, so that it takes part in
-- no deadlock.
DO $$ BEGIN
    SET LOCAL lock_timeout = '2s';
    ALTER TABLE words ALTER COLUMN words SET COMPRESSION lz4;
    RESET lock_timeout;
EXCEPTION WHEN feature_not_supported OR lock_not_available OR deadlock_detected THEN
    RAISE WARNING 'words are not compressed with LZ4: %', SQLERRM;
END $$;
