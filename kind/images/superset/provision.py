"""Sees to the administrator and to what assets.py has. Run at every start; what people made themselves is left alone."""

from flask import g
from superset.app import create_app

from assets import contents
from places import clickhouse, sites, tls
from superset_config import ACCESS

ADMIN = "admin"


def main() -> None:
    with create_app().app_context():
        # Superset's modules want an app around them.
        from superset import security_manager
        from superset.commands.importers.v1.assets import ImportAssetsCommand

        password = (ACCESS / "admin-password").read_text().strip()
        admin = security_manager.find_user(ADMIN)
        if admin is None:
            role = security_manager.find_role(security_manager.auth_role_admin)
            admin = security_manager.add_user(ADMIN, "Site", "Keeper", f"{ADMIN}@example.invalid", role, password)
            if not admin:
                raise SystemExit("error: Superset did not make its administrator; its log above says why")
        else:
            # A password that was changed in the Secret counts from the next start.
            security_manager.reset_password(admin.id, password)
        g.user = admin
        there = sites()
        ImportAssetsCommand(contents(there, {site: tls(site) for site in there}, clickhouse())).run()


if __name__ == "__main__":
    main()
