//! The sync schema in a site's database: migrations, enrolment, roles.
