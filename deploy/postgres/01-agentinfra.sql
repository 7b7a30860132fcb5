-- Run once, by the superuser, when the data volume is new.

-- Databases made later have the extension too.
\connect template1
CREATE EXTENSION IF NOT EXISTS vector;

-- Agents do not log in as superuser: what a model writes may end up as a statement. CREATEROLE
-- lets them make a role with still fewer rights for such statements.
\getenv password AGENT_PASSWORD
CREATE ROLE agentinfra LOGIN CREATEDB CREATEROLE PASSWORD :'password';
CREATE DATABASE agentinfra OWNER agentinfra;
