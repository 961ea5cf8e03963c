
-- Passwords, apart from users, whose rows their owners and admins may read.
-- No role but the owner reads or writes here, nor in the next two tables.
CREATE TABLE padlock.credentials (
    user_id uuid PRIMARY KEY REFERENCES @extschema@.users (id) ON DELETE CASCADE,
    password_hash text NOT NULL,
    email_confirmed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE padlock.credentials IS 'padlock: passwords of users, as scrypt hashes in PHC strings';
COMMENT ON COLUMN padlock.credentials.email_confirmed_at IS 'when the user proved that the address is his; NULL: never';
-- Which costs there are, whatever the number of users.
CREATE INDEX credentials_parameters_idx ON padlock.credentials ((pg_catalog.split_part(password_hash, '$', 3)));
ALTER TABLE padlock.credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.credentials FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.credentials FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER credentials_touch BEFORE UPDATE ON padlock.credentials FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();

CREATE TABLE padlock.sessions (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES @extschema@.users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_used_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    refresh_counter bigint NOT NULL DEFAULT 0,
    ip_address text,
    user_agent text
);
COMMENT ON TABLE padlock.sessions IS 'padlock: sessions of users; an access token is refused once its session is revoked or expired';
COMMENT ON COLUMN padlock.sessions.last_used_at IS 'when the session was opened or last refreshed';
COMMENT ON COLUMN padlock.sessions.expires_at IS 'end of the session, however much it is used';
COMMENT ON COLUMN padlock.sessions.refresh_counter IS 'counter in the newest refresh token';
COMMENT ON COLUMN padlock.sessions.ip_address IS 'of the sign-in or the last refresh, as is user_agent';
CREATE INDEX sessions_user_id_idx ON padlock.sessions (user_id);
ALTER TABLE padlock.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.sessions FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.sessions FROM PUBLIC, anon, authenticated, service_role;

CREATE TABLE padlock.one_time_tokens (
    token_hash bytea PRIMARY KEY CONSTRAINT one_time_tokens_token_hash CHECK (pg_catalog.octet_length(token_hash) = 32),
    purpose text NOT NULL
        CONSTRAINT one_time_tokens_purpose CHECK (purpose IN ('confirm_email', 'change_email', 'reset_password')),
    user_id uuid REFERENCES @extschema@.users (id) ON DELETE CASCADE,
    email text NOT NULL,
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE padlock.one_time_tokens IS 'padlock: what was mailed to users to prove an address, as SHA-256 hashes; deleted when used';
COMMENT ON COLUMN padlock.one_time_tokens.user_id IS 'whose address or password may be changed; NULL for a sign-up, and for a request that leads nowhere';
COMMENT ON COLUMN padlock.one_time_tokens.email IS 'the address that the token was mailed to';
COMMENT ON COLUMN padlock.one_time_tokens.password_hash IS 'the password of the sign-up that the token confirms: each sign-up for an address confirms its own';
CREATE INDEX one_time_tokens_user_id_idx ON padlock.one_time_tokens (user_id);
CREATE INDEX one_time_tokens_email_idx ON padlock.one_time_tokens (pg_catalog.lower(email));
CREATE INDEX one_time_tokens_expires_at_idx ON padlock.one_time_tokens (expires_at);
ALTER TABLE padlock.one_time_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.one_time_tokens FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.one_time_tokens FROM PUBLIC, anon, authenticated, service_role;
