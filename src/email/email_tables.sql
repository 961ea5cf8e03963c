
-- What mails say.  A template that is missing is put back by padlock.install().
CREATE TABLE padlock.email_templates (
    name text PRIMARY KEY CONSTRAINT email_templates_name CHECK (name ~ '^[a-z0-9_]{1,100}$'),
    subject text NOT NULL
        CONSTRAINT email_templates_subject CHECK (pg_catalog.length(subject) >= 1 AND pg_catalog.length(subject) <= 200 AND subject !~ '[[:cntrl:]]'),
    text_body text NOT NULL CONSTRAINT email_templates_text_body CHECK (pg_catalog.length(text_body) BETWEEN 1 AND 100000),
    html_body text CONSTRAINT email_templates_html_body CHECK (pg_catalog.length(html_body) BETWEEN 1 AND 100000),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE padlock.email_templates IS 'padlock: subjects and texts of mails, with {{placeholders}} for the data of the job, {{site_url}} and {{to}}';
COMMENT ON COLUMN padlock.email_templates.html_body IS 'values are escaped in it; NULL: the mail has the plain text only';
ALTER TABLE padlock.email_templates ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.email_templates FORCE ROW LEVEL SECURITY;
-- Who writes the mail that carries a token can have the token.
CREATE POLICY email_templates_select ON padlock.email_templates FOR SELECT TO authenticated, service_role
    USING (padlock.is_privileged());
CREATE POLICY email_templates_super ON padlock.email_templates FOR ALL TO authenticated
    USING (padlock.is_super_admin()) WITH CHECK (padlock.is_super_admin());
REVOKE ALL ON TABLE padlock.email_templates FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE padlock.email_templates TO authenticated, service_role;
INSERT INTO padlock.email_templates (name, subject, text_body, html_body)
SELECT name, subject, text_body, html_body
  FROM (VALUES
    ('confirm_email', 'Confirm your e-mail address',
     E'Welcome. To confirm that {{to}} is your address, open this link and enter the password that you signed up with:\n\n{{site_url}}/confirm-email?token={{token}}\n\nIt works once, for {{valid_for}}. If you did not sign up, do nothing: no account is made.\n',
     E'<p>Welcome. To confirm that {{to}} is your address, open this link and enter the password that you signed up with:</p>\n<p><a href="{{site_url}}/confirm-email?token={{token}}">Confirm the address</a></p>\n<p>It works once, for {{valid_for}}. If you did not sign up, do nothing: no account is made.</p>\n'),
    ('change_email', 'Confirm your new e-mail address',
     E'To make {{to}} the address of your account, open this link and enter your password:\n\n{{site_url}}/confirm-email?token={{token}}\n\nIt works once, for {{valid_for}}. If you did not ask for this, do nothing: the address stays as it is.\n',
     E'<p>To make {{to}} the address of your account, open this link and enter your password:</p>\n<p><a href="{{site_url}}/confirm-email?token={{token}}">Change the address</a></p>\n<p>It works once, for {{valid_for}}. If you did not ask for this, do nothing: the address stays as it is.</p>\n'),
    ('reset_password', 'Set a new password',
     E'To set a new password for your account, open this link:\n\n{{site_url}}/reset-password?token={{token}}\n\nIt works once, for {{valid_for}}. If you did not ask for this, do nothing: your password stays as it is.\n',
     E'<p>To set a new password for your account, open this link:</p>\n<p><a href="{{site_url}}/reset-password?token={{token}}">Set a new password</a></p>\n<p>It works once, for {{valid_for}}. If you did not ask for this, do nothing: your password stays as it is.</p>\n'),
    ('account_exists', 'You have an account already',
     E'Somebody wanted to use {{to}} for an account, but it has one already. If it was you, sign in, or set a new password:\n\n{{site_url}}\n\nOtherwise do nothing.\n',
     E'<p>Somebody wanted to use {{to}} for an account, but it has one already. If it was you, <a href="{{site_url}}">sign in, or set a new password</a>.</p>\n<p>Otherwise do nothing.</p>\n'),
    ('no_account', 'There is no account with this address',
     E'Somebody asked for a new password for {{to}}, which has no account. If it was you, you may have signed up with another address:\n\n{{site_url}}\n\nOtherwise do nothing.\n',
     E'<p>Somebody asked for a new password for {{to}}, which has no account. If it was you, you may have <a href="{{site_url}}">signed up</a> with another address.</p>\n<p>Otherwise do nothing.</p>\n'),
    ('password_changed', 'Your password was changed',
     E'The password of your account was changed. If it was not you, set a new one at once:\n\n{{site_url}}\n',
     E'<p>The password of your account was changed. If it was not you, <a href="{{site_url}}">set a new one</a> at once.</p>\n'),
    ('email_changed', 'Your e-mail address was changed',
     E'The address of your account was changed, from {{to}} to another. If it was not you, tell us at once:\n\n{{site_url}}\n',
     E'<p>The address of your account was changed, from {{to}} to another. If it was not you, <a href="{{site_url}}">tell us</a> at once.</p>\n'))
       AS seed(name, subject, text_body, html_body)
 WHERE NOT EXISTS (SELECT FROM padlock.email_templates t WHERE t.name = seed.name);
CREATE TRIGGER email_templates_touch BEFORE UPDATE ON padlock.email_templates FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER email_templates_audit AFTER INSERT OR UPDATE OR DELETE ON padlock.email_templates FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER email_templates_audit_truncate AFTER TRUNCATE ON padlock.email_templates FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
