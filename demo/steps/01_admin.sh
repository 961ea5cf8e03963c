# Users, and the first admin.
# shellcheck shell=sh disable=SC2034,SC2154
step '1  Users and the first admin, made by the owner in SQL'
admin=a0000000-0000-4000-8000-000000000001
maya=b0000000-0000-4000-8000-000000000002
tom=c0000000-0000-4000-8000-000000000003
sql "INSERT INTO users (id, email) VALUES
    (:'admin', 'ada@marketplace.example'),
    (:'maya', 'maya@mail.example'),
    (:'tom', 'tom@mail.example')" "admin=$admin" "maya=$maya" "tom=$tom"
say "INSERT INTO public.admin_users (id, role, permissions) VALUES ('$admin', 'super_admin', '[\"all\"]'::jsonb);"
sql "INSERT INTO public.admin_users (id, role, permissions) VALUES (:'admin', 'super_admin', '[\"all\"]'::jsonb)" \
    "admin=$admin"
table 'SELECT u.email, a.role, u.id FROM users u LEFT JOIN admin_users a USING (id) ORDER BY u.email'
as_user Ada "$admin"
same 'Ada is an admin' t "$(caller_value "SELECT is_admin('$admin')")"
as_user Maya "$maya"
same 'Maya is not' f "$(caller_value "SELECT is_admin('$maya')")"
