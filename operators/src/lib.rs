//! Domain operators, one file each: print failure, permission, routing and the like will stand here. There is none yet;
//! views are written in SQL, which `engine/plan` lowers.
