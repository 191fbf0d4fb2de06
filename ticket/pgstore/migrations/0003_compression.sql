-- LZ4 takes far less processor time than the default, where the server has it. What is
-- there stays as it is. The lock is not waited for: without it all is well, only
-- slower, until somebody does the same by hand.
DO $$ BEGIN
    SET LOCAL lock_timeout = '2s';
    ALTER TABLE messages ALTER COLUMN doc SET COMPRESSION lz4;
    RESET lock_timeout;
EXCEPTION WHEN feature_not_supported OR lock_not_available OR deadlock_detected THEN
    RAISE WARNING 'messages are not compressed with LZ4: %', SQLERRM;
END $$;
