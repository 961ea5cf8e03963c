
CREATE FUNCTION padlock.redact_email() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_redact_email';
REVOKE ALL ON FUNCTION padlock.redact_email() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.redact_email() IS 'Trigger that takes tokens and texts out of the payload of a mail whose job ends';
