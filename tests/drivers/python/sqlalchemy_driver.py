"""SQLAlchemy through the pooler, over psycopg 3, psycopg2 and asyncpg, each with its defaults."""

import asyncio
import os

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine


class Base(orm.DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "sa_item"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(unique=True)


class Shelf(Base):
    __tablename__ = "sa_shelf"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    books: orm.Mapped[list["Book"]] = orm.relationship(order_by="Book.id")


class Book(Base):
    __tablename__ = "sa_book"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    shelf_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("sa_shelf.id"))
    title: orm.Mapped[str]


def url(driver):
    return sa.URL.create(f"postgresql+{driver}", os.environ["PGUSER"], os.environ["PGPASSWORD"],
                         os.environ["PGHOST"], int(os.environ["PGPORT"]), os.environ["PGDATABASE"])


def use(session):
    session.add_all(Item(name=f"item {number}") for number in range(300))
    session.commit()
    session.add(Item(name="item 1"))
    try:
        session.commit()
        raise AssertionError("no error")
    except sa.exc.IntegrityError:
        session.rollback()
    assert session.scalar(sa.select(sa.func.count()).select_from(Item)) == 300
    for number in range(20):
        assert session.scalar(sa.select(Item).where(Item.name == f"item {number}"))
    session.rollback()


def synchronous(driver):
    engine = sa.create_engine(url(driver), pool_size=5)
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        use(session)
    Base.metadata.drop_all(engine)
    engine.dispose()


async def asynchronous(driver):
    engine = create_async_engine(url(driver), pool_size=5)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    def run(connection):
        with orm.Session(connection, join_transaction_mode="control_fully") as session:
            use(session)

    async with engine.connect() as connection:
        await connection.run_sync(run)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


async def selectin_loading():
    """A second statement, with as many parameters as there are rows, fetches what belongs to them:
    many texts, in more sessions at once than there are servers."""
    engine = create_async_engine(url("asyncpg"), pool_size=8)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    new_session = async_sessionmaker(engine, expire_on_commit=False)
    async with new_session() as session, session.begin():
        session.add_all(Shelf(id=shelf, books=[
            Book(id=100 * shelf + book, title=f"{shelf}.{book}") for book in range(shelf)])
            for shelf in range(1, 21))

    async def read(first):
        for count in range(1, 8):
            async with new_session() as session:
                shelves = await session.scalars(
                    sa.select(Shelf).where(Shelf.id.between(first, first + count - 1))
                    .order_by(Shelf.id).options(orm.selectinload(Shelf.books)))
                found = {shelf.id: [book.title for book in shelf.books] for shelf in shelves}
            assert found == {shelf: [f"{shelf}.{book}" for book in range(shelf)]
                             for shelf in range(first, first + count)}, found

    await asyncio.gather(*(read(1 + worker) for worker in range(8)))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


for name in ("psycopg", "psycopg2"):
    synchronous(name)
    print("ok", name, flush=True)
asyncio.run(asynchronous("asyncpg"))
print("ok asyncpg", flush=True)
asyncio.run(selectin_loading())
print("ok selectin loading", flush=True)
